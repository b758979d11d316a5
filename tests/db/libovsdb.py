#! /usr/bin/env python3
"""A client with the habits of Go's libovsdb: it refuses a server whose schema
lacks a column of its model, keeps its cache by one monitor for a set of
tables, from the last transaction on when it reconnects, and watches _Server.

    libovsdb.py SOCKET SCHEMA"""

import json
import sys
import uuid

import wire

ZERO = "00000000-0000-0000-0000-000000000000"
DATABASE = "Open_vSwitch"
TABLES = ["Bridge", "Interface", "Open_vSwitch", "Port"]


class Client:
    def __init__(self, path, schema):
        self.path = path
        self.schema = schema
        self.cookie = str(uuid.uuid4())
        self.last = ZERO
        self.cache = {table: {} for table in TABLES}
        self.connect()

    def connect(self):
        """Connects as libovsdb does; says how the cache came up to date."""
        self.connection = wire.Connection(self.path)
        assert DATABASE in self.connection.call("list_dbs", [None])["result"]
        served = self.connection.call("get_schema", [DATABASE])["result"]
        for name, table in self.schema["tables"].items():
            missing = table["columns"].keys() - \
                served["tables"][name]["columns"].keys()
            assert not missing, "%s lacks %s" % (name, missing)
        reply = self.connection.call("monitor", ["_Server", "server", {
            "Database": {"columns": ["name", "model", "leader", "sid"],
                         "select": {"initial": True, "insert": True,
                                    "delete": True, "modify": True}}}])
        rows = [row["new"] for row in reply["result"]["Database"].values()]
        assert any(row["name"] == DATABASE and row["leader"]
                   and row["model"] == "standalone" for row in rows)
        self.monitor()

    def monitor(self):
        columns = {table: sorted(self.schema["tables"][table]["columns"])
                   for table in TABLES}
        cookie = {"databaseName": DATABASE, "id": self.cookie}
        reply = self.connection.call("monitor_cond_since", [
            DATABASE, cookie,
            {table: [{"columns": columns[table],
                      "select": {"initial": True, "insert": True,
                                 "delete": True, "modify": True}}]
             for table in TABLES}, self.last])
        found, self.last, tables = reply["result"]
        if not found:
            self.cache = {table: {} for table in TABLES}
        self.update(tables)
        print("connected, %s" % ("what was missed: %d rows"
                                 % sum(map(len, tables.values()))
                                 if found else "everything"))

    def update(self, tables):
        for table, rows in tables.items():
            cache = self.cache[table]
            for row, change in rows.items():
                for kind, value in change.items():
                    if kind in ("initial", "insert"):
                        assert row not in cache
                        cache[row] = value
                    elif kind == "modify":
                        self.modify(cache[row], value)
                    else:
                        del cache[row]

    def modify(self, row, value):
        for column, new in value.items():
            old = row.get(column, ["set", []])
            if isinstance(new, list) and new[0] == "map":
                merged = {k: v for k, v in old[1]} if old[0] == "map" else {}
                for k, v in new[1]:
                    if merged.get(k) == v:
                        del merged[k]
                    else:
                        merged[k] = v
                row[column] = ["map", [list(i) for i in merged.items()]]
            elif column in ("ports", "bridges", "interfaces"):
                a, b = [[str(e) for e in (s[1] if s[0] == "set" else [s])]
                        for s in (old, new)]
                row[column] = sorted(set(a) ^ set(b))
            else:
                row[column] = new

    def transact(self, *operations):
        """Returns the results, with the cache up to date with them."""
        request = self.connection.request("transact",
                                          [DATABASE, *operations])
        while True:
            message = self.connection.receive()
            if message.get("method") == "update3":
                cookie, self.last, tables = message["params"]
                assert cookie == {"databaseName": DATABASE,
                                  "id": self.cookie}
                self.update(tables)
            elif message.get("id") == request:
                return message["result"]

    def names(self, table):
        return sorted(row.get("name", "")
                      for row in self.cache[table].values())


def insert(root, n):
    """What libovsdb's users compose: not if it is there already."""
    name = "br%d" % n
    return [
        {"op": "wait", "table": "Bridge", "timeout": 0,
         "where": [["name", "==", name]], "columns": ["name"],
         "until": "!=", "rows": [{"name": name}]},
        {"op": "insert", "table": "Bridge", "uuid-name": "u1",
         "row": {"name": name, "external_ids": ["map", [["a", "b"]]],
                 "ports": ["set", [["named-uuid", "u2"]]]}},
        {"op": "insert", "table": "Port", "uuid-name": "u2",
         "row": {"name": name, "interfaces": ["named-uuid", "u3"]}},
        {"op": "insert", "table": "Interface", "uuid-name": "u3",
         "row": {"name": name, "type": "internal"}},
        {"op": "mutate", "table": DATABASE, "where": [
            ["_uuid", "==", ["uuid", root]]],
         "mutations": [["bridges", "insert",
                        ["set", [["named-uuid", "u1"]]]]]}]


def main(path, schema_file):
    with open(schema_file) as f:
        schema = json.load(f)
    client = Client(path, schema)
    other = Client(path, schema)
    root = next(iter(client.cache[DATABASE]))
    assert not any("error" in (r or {})
                   for r in client.transact(*insert(root, 0)))
    print("bridges: %s" % client.names("Bridge"))
    errors = [r for r in client.transact(*insert(root, 0))
              if r and "error" in r]
    print("again: %s" % errors[0]["error"])

    other.transact({"op": "comment", "comment": ""})
    print("the other client: %s" % other.names("Bridge"))
    other.connection.close()
    client.transact({"op": "mutate", "table": "Bridge",
                     "where": [["name", "==", "br0"]],
                     "mutations": [["external_ids", "delete",
                                    ["map", [["a", "b"]]]],
                                   ["external_ids", "insert",
                                    ["map", [["a", "c"]]]]]})
    other.connect()
    print("its cache: %s" % [row["external_ids"]
                             for row in other.cache["Bridge"].values()])
    client.transact({"op": "delete", "table": "Bridge",
                     "where": [["name", "==", "br0"]]},
                    {"op": "mutate", "table": DATABASE, "where": [],
                     "mutations": [["bridges", "delete", ["set", [
                         ["uuid", u] for u in client.cache["Bridge"]]]]]})
    print("in the end: %s" % client.names("Port"))


if __name__ == "__main__":
    main(*sys.argv[1:])
