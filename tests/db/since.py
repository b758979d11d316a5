#! /usr/bin/env python3
"""monitor_cond_since at the Root table of the test schema.

    since.py start SERVER              inserts a row "a" with a status, prints
                                       the id of the transaction seen last
    since.py since SERVER TRANSACTION  what changed since"""

import sys

import wire


def monitor(connection, last):
    return connection.call("monitor_cond_since", [
        "Test", "m", {"Root": [{"columns": ["name", "status"]}]},
        last])["result"]


def describe(connection, uuid, change):
    (kind, row), = change.items()
    name = (row or {}).get("name")
    if not name:
        rows = connection.call("transact", ["Test", {
            "op": "select", "table": "Root",
            "where": [["_uuid", "==", ["uuid", uuid]]]}])["result"][0]["rows"]
        name = rows[0]["name"] if rows else uuid
    if kind == "modify":
        return "%s modified %s" % (name, " ".join(sorted(row)))
    return "%s %s" % (name, {"insert": "inserted", "delete": "deleted"}.get(
        kind, kind))


def main(command, server, last="00000000-0000-0000-0000-000000000000"):
    connection = wire.Connection(server.partition(":")[2])
    if command == "start":
        connection.call("transact", ["Test", {
            "op": "insert", "table": "Root",
            "row": {"name": "a", "status": ["map", [["k", "v"]]]}}])
        print(monitor(connection, last)[1])
        return
    found, _, updates = monitor(connection, last)
    print("%s: %s" % ("found" if found else "not found", ", ".join(sorted(
        describe(connection, uuid, change)
        for uuid, change in updates.get("Root", {}).items()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
