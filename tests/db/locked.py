#! /usr/bin/env python3
"""Another process locks a database's file: who asked for durability waits for
it, nobody else does.

    locked.py SOCKET FILE"""

import sqlite3
import sys

import wire


def main(path, file_name):
    waiter, other = wire.Connection(path), wire.Connection(path)
    holder = sqlite3.connect(file_name, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiter.request("transact", [
        "Test", {"op": "insert", "table": "Root", "row": {"name": "a"}},
        {"op": "commit", "durable": True}])
    # Its reply shows that the transaction is with the store.
    rows = waiter.call("transact", [
        "Test", {"op": "select", "table": "Root", "where": [],
                 "columns": ["name"]}], timeout=5)["result"][0]["rows"]
    print("executed: %s" % rows)
    other.call("echo", [], timeout=5)
    print("others: served")
    holder.execute("ROLLBACK")
    print("then it is stored: %s" % waiter.receive()["result"][1])


if __name__ == "__main__":
    main(*sys.argv[1:])
