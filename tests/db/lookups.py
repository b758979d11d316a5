#! /usr/bin/env python3
"""Queries of a table that is large enough for lookups (mgmt/db/lookup.c).

    lookups.py SOCKET [ROUNDS [SEED]]

Changes random rows, in transactions that are committed or aborted, and asks
for rows by what is in their columns, within those transactions, between them
and by monitors; each answer must be what a scan of our own copy of the table
says.  Prints nothing if all are."""

import copy
import random
import sys

import wire

ROWS = 400


def value(rng, column):
    """A random value of a column: few rows, many or all have the same."""
    if column == "n":
        return rng.choice([0, 7, rng.randrange(2000)])
    if column == "numbers":
        return sorted({rng.randrange(100, 700)
                       for _ in range(rng.choice([0, 1, 3, 12]))})
    return {rng.choice("abc"): str(rng.choice([1, rng.randrange(500)]))
            for _ in range(rng.choice([0, 1, 1, 2]))}


def to_json(column, v):
    if column == "n":
        return v
    return (["set", v] if column == "numbers"
            else ["map", [[k, w] for k, w in v.items()]])


def holds(row, clause):
    column, function, v = clause
    if function == "==":
        return row[column] == v
    if column == "n":
        return row[column] == v
    if column == "numbers":
        return set(v) <= set(row[column])
    return v.items() <= row[column].items()


def clause_json(clause):
    return [clause[0], clause[1], to_json(clause[0], clause[2])]


class Test:
    def __init__(self, path, seed):
        self.rng = random.Random(seed)
        self.connection = wire.Connection(path)
        self.monitors = wire.Connection(path)
        self.table = {}
        self.shown = None               # What the monitor's client knows.
        self.condition = []

    def clause(self):
        column = self.rng.choice(["n", "numbers", "words"])
        if self.table and self.rng.random() < .5:
            v = self.rng.choice(list(self.table.values()))[column]
            if column == "numbers":
                v = v[:self.rng.choice([1, 2, 20])]
        else:
            v = value(self.rng, column)
        return column, self.rng.choice(["==", "includes"]), v

    def select(self, where):
        return {"op": "select", "table": "Root", "columns": ["name"],
                "where": [clause_json(c) for c in where]}

    def transaction(self):
        """A random one, with the answers to its queries."""
        rng = self.rng
        table = copy.deepcopy(self.table)
        operations, expected = [], []
        for _ in range(rng.choice([1, 1, 3, 8])):
            kind = rng.choice(["insert", "update", "update", "delete",
                               "select", "select", "select"])
            name = "r%d" % rng.randrange(ROWS)
            row = {c: value(rng, c) for c in ("n", "numbers", "words")
                   if rng.random() < .6}
            json = {c: to_json(c, v) for c, v in row.items()}
            if kind == "select":
                where = [self.clause() for _ in range(rng.choice([1, 1, 2]))]
                operations.append(self.select(where))
                expected.append({n for n, r in table.items()
                                 if all(holds(r, c) for c in where)})
                continue
            expected.append(None)
            if name not in table:
                operations.append({"op": "insert", "table": "Root",
                                   "row": dict(json, name=name)})
                table[name] = dict({"n": 0, "numbers": [], "words": {}},
                                   **row)
            elif kind == "delete" and rng.random() < .3:
                operations.append({"op": "delete", "table": "Root",
                                   "where": [["name", "==", name]]})
                del table[name]
            else:
                operations.append({"op": "update", "table": "Root",
                                   "where": [["name", "==", name]],
                                   "row": json})
                table[name].update(row)
        return operations, expected, table

    def round(self):
        operations, expected, table = self.transaction()
        if self.rng.random() < .2:
            operations.append({"op": "abort"})
        else:
            self.table = table
        reply = self.connection.call("transact", ["Test", *operations])
        for operation, result, names in zip(operations, reply["result"],
                                            expected):
            if names is not None:
                self.compare(operation, {r["name"] for r in result["rows"]},
                             names)

    def compare(self, what, came, expected):
        if came != expected:
            raise AssertionError("%s: came %s, expected %s" % (
                what, sorted(came), sorted(expected)))

    # Monitors.

    def monitor(self):
        """Makes a monitor, or changes its condition."""
        self.condition = [self.clause()
                          for _ in range(self.rng.choice([1, 2, 3, 10]))]
        where = [clause_json(c) for c in self.condition]
        if self.shown is None:
            reply = self.monitors.call("monitor_cond", ["Test", "m", {
                "Root": [{"columns": ["name", "n", "numbers", "words"],
                          "where": where}]}])
            self.shown = {}
            self.update(reply["result"])
        else:
            request = self.monitors.request("monitor_cond_change", [
                "m", "m", {"Root": [{"where": where}]}])
            self.receive(request)

    def receive(self, request):
        while True:
            message = self.monitors.receive()
            if "method" in message:
                self.update(message["params"][1])
            elif message["id"] == request:
                return

    def update(self, tables):
        for uuid, change in tables.get("Root", {}).items():
            if "delete" in change:
                del self.shown[uuid]
            elif "initial" in change or "insert" in change:
                self.shown[uuid] = (change.get("initial")
                                    or change["insert"])["name"]

    def check_monitor(self):
        self.receive(self.monitors.request("echo", []))
        self.compare(self.condition, set(self.shown.values()),
                     {n for n, r in self.table.items()
                      if any(holds(r, c) for c in self.condition)})

    def run(self, rounds):
        for i in range(rounds):
            self.round()
            if i > ROWS and i % 5 == 0:
                self.monitor()
            if self.shown is not None and i % 3 == 0:
                self.check_monitor()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    Test(sys.argv[1], seed).run(rounds)


if __name__ == "__main__":
    main()
