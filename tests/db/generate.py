"""Random schemas and requests for the differential test.

All randomness comes from one random.Random, so that a seed says everything.
A row is named by the step and operation that insert it, as "@STEP.OPERATION",
because each server gives it another UUID: differential.py puts that in its
place.  Most requests are valid; now and then one place in one is poisoned."""

import copy

WORDS = ["", "a", "b", "ab", "x y", "\u00e9", "\u20ac", "q\"uote",
         "back\\slash",
         "tab\t", "_z", "A", "zzzzzzzzzzzzzzzzzzzzzzzzzzzz", "0", "true",
         "\U0001f600", "\x01", "/slash"]
INTEGERS = [0, 1, 2, 3, -1, 5, 10, 100, 4095, -4096, 1 << 31, (1 << 53) + 1,
            (1 << 63) - 1, -(1 << 63)]
REALS = [0, 1, 2, 0.1, 0.5, -1.5, 1e10, 1e-7, 3.0, 123456.789, 1e300, -2,
         0.125]
STRANGERS = ["00000000-0000-0000-0000-000000000000",
             "c0ffee00-0000-4000-8000-000000000001",
             "c0ffee00-0000-4000-8000-000000000002"]
FUNCTIONS = ["==", "!=", "<", "<=", ">", ">=", "includes", "excludes"]
ARITHMETIC = ["+=", "-=", "*=", "/=", "%="]


def must_refer(column_type):
    """Whether a column can't be without a reference.  If that is ephemeral,
    the genuine server can't read its file after a restart."""
    kind = Type(column_type)
    return kind.min > 0 and any("refTable" in base
                                for base in (kind.key, kind.value or {}))


class Schema:
    """A random schema, as JSON and by the questions that are asked of it."""

    def __init__(self, rng, json=None):
        self.json = json or self.make(rng)
        self.name = self.json["name"]
        self.tables = {
            name: {column: Type(schema["type"])
                   for column, schema in table["columns"].items()}
            for name, table in self.json["tables"].items()}

    def make(self, rng):
        names = ["T%d" % i for i in range(rng.randint(1, 5))]
        tables = {name: self.table(rng, names) for name in names}
        tables[names[0]]["isRoot"] = True
        return {"name": "Random", "version": "1.2.3", "tables": tables}

    def table(self, rng, names):
        columns = {}
        for i in range(rng.randint(1, 6)):
            column = {"type": self.type(rng, names)}
            if rng.random() < .12 and not must_refer(column["type"]):
                column["ephemeral"] = True
            if rng.random() < .1:
                column["mutable"] = False
            columns["c%d" % i] = column
        table = {"columns": columns}
        if rng.random() < .6:
            table["isRoot"] = True
        if rng.random() < .1:
            table["maxRows"] = rng.randint(1, 4)
        # No weak references: ovsdb-server 3.1 may leave some that dangle.
        fit = [c for c in columns if not columns[c].get("ephemeral")
               and "'weak'" not in str(columns[c])]
        if fit and rng.random() < .35:
            table["indexes"] = [
                rng.sample(fit, rng.randint(1, min(2, len(fit))))
                for _ in range(rng.randint(1, 2))]
        return table

    def type(self, rng, names):
        form = rng.random()
        if form < .25:
            return rng.choice(["integer", "real", "boolean", "string", "uuid"])
        weak_ok = form >= .45
        json = {"key": self.base(rng, names, weak_ok)}
        if form < .45:
            return json
        weak = "refType" in json["key"]
        json["min"] = 0 if weak or rng.random() < .8 else 1
        if form < .6:
            json["max"] = 1
        else:
            json["max"] = rng.choice([2, 3, 5, "unlimited", "unlimited"])
        if rng.random() < .35:
            json["value"] = self.base(rng, names, json["min"] == 0)
        return json

    def base(self, rng, names, weak_ok):
        kind = rng.choice(["integer", "real", "boolean", "string", "string",
                           "uuid", "uuid"])
        json = {"type": kind}
        if kind == "uuid":
            if rng.random() < .85:
                json["refTable"] = rng.choice(names)
                if weak_ok and rng.random() < .4:
                    json["refType"] = "weak"
            return json
        choice = rng.random()
        if choice < .25 and kind != "boolean":
            pool = {"integer": INTEGERS, "real": REALS, "string": WORDS}[kind]
            json["enum"] = ["set", sorted(set(rng.sample(pool,
                                                         rng.randint(1, 4))))]
            if len(json["enum"][1]) == 1 and rng.random() < .5:
                json["enum"] = json["enum"][1][0]
        elif choice < .5 and kind == "integer":
            json["minInteger"] = rng.choice([-10, 0, 1])
            if rng.random() < .7:
                json["maxInteger"] = rng.choice([1, 3, 4095])
        elif choice < .5 and kind == "real":
            json["minReal"] = rng.choice([-10, 0.0, 0.25])
            if rng.random() < .7:
                json["maxReal"] = rng.choice([1, 2.5, 1000])
        elif choice < .5 and kind == "string":
            if rng.random() < .5:
                json["minLength"] = rng.choice([0, 1, 2])
            json["maxLength"] = rng.choice([2, 4, 10])
        return json


class Type:
    """A column's type."""

    def __init__(self, json):
        if not isinstance(json, dict):
            json = {"key": json}
        self.key = self.base(json["key"])
        self.value = self.base(json["value"]) if "value" in json else None
        self.min = json.get("min", 1)
        top = json.get("max", 1)
        self.max = 8 if top == "unlimited" else top

    @staticmethod
    def base(json):
        return json if isinstance(json, dict) else {"type": json}

    def scalar(self):
        return self.min == 1 and self.max == 1 and not self.value


class Generator:
    """Makes the steps of one round."""

    def __init__(self, rng, schema, clients):
        self.rng = rng
        self.schema = schema
        self.clients = clients
        self.rows = {table: [] for table in schema.tables}
        self.monitors = []              # (client, id, {table: columns})
        self.step_id = 0
        self.named = []                 # In the transaction being made:
        self.forward = None             # rows with names, names used ahead.
        self.poison = False

    # Values.

    def atom(self, base):
        rng = self.rng
        if self.poisoned(.3):
            return rng.choice([None, {}, [], "bad", 7, 1.5, True, 1 << 63,
                               ["uuid", "not-a-uuid"],
                               ["named-uuid", "nobody"],
                               ["uuid"], [["a"]], ["set", []], 1e300])
        kind = base["type"]
        if "enum" in base and rng.random() < .95:
            enum = base["enum"]
            return rng.choice(enum[1] if isinstance(enum, list) else [enum])
        if kind == "integer":
            if "minInteger" in base and rng.random() < .9:
                return rng.randint(base["minInteger"],
                                   base.get("maxInteger", 20))
            n = rng.choice(INTEGERS[:9] if rng.random() < .8 else INTEGERS)
            return float(n) if abs(n) < 1 << 50 and rng.random() < .05 else n
        if kind == "real":
            if "minReal" in base and rng.random() < .9:
                low, high = base["minReal"], base.get("maxReal", 5)
                return rng.choice([low, high, (low + high) / 2])
            return rng.choice(REALS)
        if kind == "boolean":
            return rng.random() < .5
        if kind == "string":
            if "maxLength" in base and rng.random() < .9:
                return ("abcdefghijkl"[:rng.randint(base.get("minLength", 0),
                                                    base["maxLength"])])
            return rng.choice(WORDS)
        return self.reference(base.get("refTable"))

    def reference(self, table):
        rng = self.rng
        if table is None:
            table = rng.choice(list(self.rows))
        named = [name for t, name in self.named if t == table]
        if named and rng.random() < .6:
            return ["named-uuid", rng.choice(named)]
        if self.rows[table] and rng.random() < .93:
            return ["uuid", rng.choice(self.rows[table][-12:])]
        if self.forward is not None and rng.random() < .5:
            # A row made ahead of time by the transaction's own end.
            name = "fwd%d" % len(self.named)
            self.named.append((table, name))
            self.forward.append((table, name))
            return ["named-uuid", name]
        return ["uuid", rng.choice(STRANGERS)]

    def poisoned(self, chance):
        if self.poison and self.rng.random() < chance:
            self.poison = False
            return True
        return False

    def datum(self, kind, size=None):
        rng = self.rng
        if kind.scalar() and size is None:
            return self.atom(kind.key)
        if size is None:
            size = rng.randint(kind.min, min(kind.max, 4))
            if self.poisoned(.2):
                size = kind.max + 1
        keys = []
        for _ in range(size):
            key = self.atom(kind.key)
            if key not in keys or rng.random() < .02:
                keys.append(key)
        if len(keys) < kind.min and not self.poison:
            keys += [self.atom(kind.key)]
        if kind.value:
            return ["map", [[key, self.atom(kind.value)] for key in keys]]
        if len(keys) == 1 and rng.random() < .5:
            return keys[0]
        return ["set", keys]

    def row(self, table, share=.6):
        columns = self.schema.tables[table]
        row = {name: self.datum(kind) for name, kind in columns.items()
               if self.rng.random() < share}
        if self.poisoned(.1):
            row[self.rng.choice(["nope", "_uuid", "_version", "C0", ""])] = 1
        return row

    # Conditions and mutations.

    def clause(self, table, among=None):
        """A clause about one of the columns 'among', if given."""
        rng = self.rng
        if not among and self.rows[table] and rng.random() < .45:
            return ["_uuid", rng.choice(["==", "==", "==", "!=", "includes"]),
                    ["uuid", rng.choice(self.rows[table][-12:])]]
        columns = self.schema.tables[table]
        name = rng.choice(among or list(columns))
        kind = columns[name]
        if rng.random() < .75:
            functions = ["==", "!=", "includes", "excludes"]
            if kind.max == 1 and not kind.value and kind.key["type"] in (
                    "integer", "real"):
                functions = FUNCTIONS
        else:
            functions = FUNCTIONS
        function = rng.choice(functions)
        if self.poisoned(.2):
            return rng.choice([[name, "=~", 1], ["nope", "==", 1], [name], 5,
                               [name, "==", 1, 2], True, False, None])
        size = None
        if function in ("includes", "excludes") and rng.random() < .6:
            size = rng.randint(0, 2)
            if kind.scalar():
                size = None
        return [name, function, self.datum(kind, size)]

    def where(self, table):
        n = self.rng.choice([0, 1, 1, 1, 1, 2, 3])
        return [self.clause(table) for _ in range(n)]

    def mutation(self, table):
        rng = self.rng
        columns = self.schema.tables[table]
        name = rng.choice(list(columns))
        kind = columns[name]
        if self.poisoned(.2):
            return rng.choice([[name, "^=", 1], ["nope", "+=", 1], [name], 5,
                               ["_uuid", "delete", ["set", []]]])
        numeric = kind.key["type"] in ("integer", "real") and not kind.value
        if (numeric and rng.random() < .5) or rng.random() < .05:
            operand = rng.choice([1, 2, -1, 3, 0, 10, 0.5, 1 << 62])
            if kind.key["type"] == "integer" and rng.random() < .9:
                operand = int(operand)
            mutator = rng.choice(ARITHMETIC)
            if mutator == "*=" and kind.key["type"] == "integer":
                # By 0 ovsdb-server 3.1 divides, and it errs about overflow
                # of large and of negative products.
                operand = rng.choice([2, 3, 10])
            return [name, mutator, operand]
        mutator = rng.choice(["insert", "delete"])
        if mutator == "delete" and kind.value and rng.random() < .5:
            return [name, mutator,
                    ["set", [self.atom(kind.key)
                             for _ in range(rng.randint(0, 2))]]]
        return [name, mutator, self.datum(kind, rng.randint(0, 3))]

    # Operations.

    def operation(self, index):
        rng = self.rng
        table = rng.choice(list(self.schema.tables))
        op = rng.choices(
            ["insert", "update", "mutate", "delete", "select", "wait",
             "commit", "abort", "comment", "assert"],
            [30, 16, 16, 8, 14, 7, 2, 1, 3, 2])[0]
        json = {"op": op}
        if op in ("insert", "update", "mutate", "delete", "select", "wait"):
            json["table"] = table if not self.poisoned(.05) else "Nope"
        if op == "insert":
            json["row"] = self.row(table)
            self.name_row(json, table, index)
        elif op == "update":
            json["where"] = self.where(table)
            json["row"] = self.row(table, .4)
        elif op == "mutate":
            json["where"] = self.where(table)
            json["mutations"] = [self.mutation(table)
                                 for _ in range(rng.randint(0, 2))]
        elif op == "delete":
            json["where"] = self.where(table)
        elif op == "select":
            json["where"] = self.where(table)
            if rng.random() < .4:
                json["columns"] = self.some_columns(table, True)
        elif op == "wait":
            self.fill_wait(json, table)
        elif op == "commit":
            json["durable"] = rng.random() < .5
        elif op == "comment":
            json["comment"] = rng.choice(WORDS)
        elif op == "assert":
            json["lock"] = rng.choice(["l0", "l1", "l2"])
        if self.poisoned(.12):
            self.spoil(json)
        return json

    def name_row(self, json, table, index):
        rng = self.rng
        if rng.random() < .5:
            name = "n%d" % len(self.named)
            json["uuid-name"] = name
            self.named.append((table, name))
        elif rng.random() < .15:
            json["uuid"] = "5eed0000-0000-4000-8000-%012x" % (
                self.step_id * 100 + index
                if rng.random() < .9 else rng.randrange(300))
        self.inserted.append((table, "@%d.%d" % (self.step_id, index)))

    def fill_wait(self, json, table):
        rng = self.rng
        json["where"] = self.where(table)
        json["columns"] = self.some_columns(table, False)
        json["until"] = rng.choice(["==", "!="])
        json["rows"] = [
            {c: self.datum(self.schema.tables[table][c])
             for c in json["columns"] if c in self.schema.tables[table]}
            for _ in range(rng.choice([0, 1, 1, 2]))]
        json["timeout"] = 0 if rng.random() < .9 else rng.choice([1, 20])

    def some_columns(self, table, special):
        names = list(self.schema.tables[table])
        if special:
            names += ["_uuid", "_version"]
        chosen = self.rng.sample(names, self.rng.randint(0, len(names)))
        if self.poisoned(.2):
            chosen += ["nope"] if self.rng.random() < .5 else chosen[:1]
        return chosen

    def spoil(self, json):
        """Breaks the form of an operation."""
        rng = self.rng
        how = rng.random()
        if how < .4 and len(json) > 1:
            del json[rng.choice(sorted(json))]
        elif how < .6:
            json["extra"] = 1
        else:
            json[rng.choice(sorted(json))] = rng.choice(
                [None, 5, "x", [], {}, True, ["a"], -1])

    def transact(self):
        rng = self.rng
        self.forward = []
        self.inserted = []
        operations = []
        for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 6])):
            operations.append(self.operation(len(operations)))
        while self.forward:
            table, name = self.forward.pop(0)
            index = len(operations)
            if index > 20 or rng.random() < .1:
                break
            operations.append({"op": "insert", "table": table,
                               "uuid-name": name,
                               "row": self.row(table, .4)})
            self.inserted.append((table, "@%d.%d" % (self.step_id, index)))
        for table, name in self.inserted:
            self.rows[table].append(name)
        self.named = []
        self.forward = None
        database = self.schema.name
        if self.poisoned(.05):
            database = rng.choice(["Nope", "_Server", 5, None])
        if self.poisoned(.05):
            operations.insert(rng.randint(0, len(operations)),
                              rng.choice([None, 5, "x", {}, []]))
        return {"method": "transact", "params": [database] + operations}

    # Monitors.

    def monitor_request(self, table, conditional):
        rng = self.rng
        json = {}
        if rng.random() < .7:
            json["columns"] = self.some_columns(table, False)
            if rng.random() < .1:
                json["columns"].append("_version")
        if rng.random() < .4:
            json["select"] = {kind: rng.random() < .5 for kind in
                              ("initial", "insert", "delete", "modify")
                              if rng.random() < .5}
        if conditional and rng.random() < .7:
            json["where"] = self.condition(table, json.get("columns"))
        if self.poisoned(.2):
            self.spoil(json) if json else json.update(nope=1)
        return json

    def condition(self, table, columns):
        """A condition for a monitor of 'columns' (None: all).  It is about no
        other column: ovsdb-server 3.1 adds those to the monitor, which clients
        share, and then crashes or forgets rows."""
        rng = self.rng
        among = [c for c in (self.schema.tables[table] if columns is None
                             else columns) if c in self.schema.tables[table]]
        if not among or rng.random() < .15:
            return [rng.random() < .5]
        return [self.clause(table, among)
                for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3]))]

    def monitor(self, client):
        rng = self.rng
        was_sound = not self.poison
        method = rng.choice(["monitor", "monitor_cond", "monitor_cond_since"])
        monitor_id = rng.choice([
            "m%d" % self.step_id, "m%d" % self.step_id, self.step_id, None,
            ["a", self.step_id], "m0", {"k": 1}])
        tables = rng.sample(list(self.schema.tables),
                            rng.randint(1, len(self.schema.tables)))
        requests = {}
        for table in tables:
            request = self.monitor_request(table, method != "monitor")
            requests[table] = [request] if rng.random() < .8 else request
        if self.poisoned(.1):
            requests["Nope"] = {}
        params = [self.schema.name, monitor_id, requests]
        if method == "monitor_cond_since":
            params.append(rng.choice(STRANGERS))
        if self.poisoned(.1):
            params[0] = rng.choice(["Nope", 5, None])
        known = {table: (r[0] if isinstance(r, list) else r).get("columns")
                 for table, r in requests.items() if table in tables}
        if (was_sound or self.poison) and not any(
                m[:2] == (client, monitor_id) for m in self.monitors):
            self.monitors.append((client, monitor_id, known))
        return {"method": method, "params": params}

    def monitor_change(self, client):
        rng = self.rng
        mine = [m for m in self.monitors if m[0] == client]
        if not mine:
            return self.monitor(client)
        _, monitor_id, tables = rng.choice(mine)
        new_id = monitor_id if rng.random() < .7 else "m%d" % self.step_id
        changes = {}
        for table in rng.sample(list(tables), rng.randint(1, len(tables))):
            where = self.condition(table, tables[table])
            changes[table] = [{"where": where}]
            if self.poisoned(.2):
                # Not [{}], by which ovsdb-server 3.1 crashes.
                changes[table] = rng.choice([5, [{"where": 1}],
                                             [{"where": [], "nope": 1}]])
        if new_id != monitor_id:
            self.monitors.append((client, new_id, tables))
        return {"method": "monitor_cond_change",
                "params": [monitor_id, new_id, changes]}

    def monitor_cancel(self, client):
        mine = [m for m in self.monitors if m[0] == client]
        monitor_id = self.rng.choice(mine)[1] if mine else "nobody"
        return {"method": "monitor_cancel", "params": [monitor_id]}

    # Everything else.

    def other(self):
        rng = self.rng
        name = self.schema.name
        return rng.choice([
            {"method": "list_dbs", "params": []},
            {"method": "list_dbs", "params": [1]},
            {"method": "get_schema", "params": [name]},
            {"method": "get_schema", "params": ["Nope"]},
            {"method": "get_schema", "params": []},
            {"method": "echo", "params": ["a", 1.0, {"b": [None]}]},
            {"method": "echo", "params": []},
            {"method": "nonsense", "params": []},
            {"method": "set_db_change_aware", "params": [True]},
            {"method": "set_db_change_aware", "params": [5]},
            {"method": "set_db_change_aware", "params": []},
            {"method": "transact", "params": []},
            {"method": "transact", "params": [name]},
            {"method": "transact", "params": ["_Server", {
                "op": "select", "table": "Database",
                "where": [["name", "==", name]],
                "columns": ["name", "model", "leader", "connected", "cid",
                            "sid", "index"]}]},
            {"method": "transact", "params": ["_Server", {
                "op": "delete", "table": "Database", "where": []}]},
            {"method": "lock", "params": ["Bad name"]},
            {"method": "lock", "params": []},
        ])

    def block(self):
        """A transaction that most likely has to wait for another one."""
        rng = self.rng
        table = rng.choice(list(self.schema.tables))
        columns = self.some_columns(table, False)[:2]
        wait = {"op": "wait", "table": table, "where": self.where(table),
                "columns": columns, "until": rng.choice(["==", "!="]),
                "rows": [{c: self.datum(self.schema.tables[table][c])
                          for c in columns if c in self.schema.tables[table]}
                         for _ in range(rng.choice([0, 0, 1]))]}
        if rng.random() < .2:
            wait["timeout"] = 100000
        return {"method": "transact", "async": True,
                "params": [self.schema.name, wait,
                           {"op": "select", "table": table, "where": []}]}

    def burst(self, client):
        """Transactions that are sent without waiting for replies."""
        steps = []
        for _ in range(self.rng.randint(2, 8)):
            self.step_id += 1
            steps.append(dict(self.transact(), id=self.step_id,
                              client=client))
            for operation in steps[-1]["params"]:
                if isinstance(operation, dict) and "timeout" in operation:
                    operation["timeout"] = 0
        return steps

    def convert(self):
        """Asks for a schema that differs a little."""
        rng = self.rng
        json = copy.deepcopy(self.schema.json)
        names = list(json["tables"])
        columns = json["tables"][rng.choice(names)]["columns"]
        column = rng.choice(list(columns))
        choice = rng.random()
        if choice < .35:
            columns["x%d" % self.step_id] = {
                "type": self.schema.type(rng, names)}
        elif choice < .6 and len(columns) > 1:
            del columns[column]
        elif choice < .8:
            columns[column] = {"type": self.schema.type(rng, names)}
        json["version"] = "1.2.%d" % self.step_id
        converted = Schema(rng, json)
        if all(column in table["columns"]
               for table in json["tables"].values()
               for index in table.get("indexes", []) for column in index):
            self.schema = converted
        return {"method": "convert", "params": [self.schema.name, json]}

    def lock(self):
        return {"method": self.rng.choice(["lock", "lock", "steal", "unlock",
                                           "unlock"]),
                "params": [self.rng.choice(["l0", "l1", "l2"])]}

    def step(self):
        """Returns the next step, a dictionary: what 'client' sends."""
        rng = self.rng
        self.step_id += 1
        client = rng.randrange(self.clients)
        self.poison = rng.random() < .2
        kind = rng.choices(["transact", "monitor", "change", "cancel", "lock",
                            "other", "block", "unblock", "restart",
                            "reconnect", "convert", "burst"],
                           [70, 7, 5, 3, 6, 5, 2, 1, .4, 1, .7, 3])[0]
        if kind == "burst":
            step = {"kind": kind, "steps": self.burst(client)}
        elif kind in ("restart", "reconnect"):
            self.monitors = [m for m in self.monitors
                             if kind == "reconnect" and m[0] != client]
            step = {"kind": kind}
        else:
            step = (self.transact() if kind == "transact"
                    else self.monitor(client) if kind == "monitor"
                    else self.monitor_change(client) if kind == "change"
                    else self.monitor_cancel(client) if kind == "cancel"
                    else self.lock() if kind == "lock"
                    else self.block() if kind == "block"
                    else {"method": "cancel"} if kind == "unblock"
                    else self.convert() if kind == "convert"
                    else self.other())
            step["kind"] = "request"
        step.update(id=self.step_id, client=client)
        return copy.deepcopy(step)
