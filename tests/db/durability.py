#! /usr/bin/env python3
"""Durable transactions, and whether they were.

    durability.py write SOCKET RUN   inserts rows until the server goes away,
                                     four at a time from several connections;
                                     prints those that were acknowledged
    durability.py check SOCKET RUN   reads that list and looks for them

Each transaction inserts two rows of Root: half of one must never be seen."""

import re
import select
import sys

import wire


def write(path, run):
    connections = [wire.Connection(path) for _ in range(4)]
    waiting = {}
    n = 0

    def send(connection):
        nonlocal n
        n += 1
        name = "%s.%d" % (run, n)
        request = connection.request("transact", [
            "Test",
            {"op": "insert", "table": "Root", "row": {"name": name + "a"}},
            {"op": "insert", "table": "Root", "row": {"name": name + "b"}},
            {"op": "commit", "durable": True}])
        waiting[connection, request] = name

    for connection in connections * 4:
        send(connection)
    while True:
        ready = [c for c in connections if c.text.strip()] or select.select(
            [c.sock for c in connections], [], [], 10)[0]
        for connection in connections:
            if connection not in ready and connection.sock not in ready:
                continue
            try:
                reply = connection.receive(.01)
            except wire.Timeout:
                continue
            except wire.Closed:
                return
            name = waiting.pop((connection, reply["id"]))
            if any("error" in (r or {}) for r in reply["result"]):
                sys.exit("refused: %s" % reply)
            print(name, flush=True)
            send(connection)


def check(path, run):
    acknowledged = [line.strip() for line in sys.stdin]
    reply = wire.Connection(path).call("transact", [
        "Test", {"op": "select", "table": "Root", "where": [],
                 "columns": ["name"]}])
    names = {row["name"] for row in reply["result"][0]["rows"]}
    for name in acknowledged:
        for half in "ab":
            if name + half not in names:
                sys.exit("lost %s of %d acknowledged" % (name + half,
                                                         len(acknowledged)))
    for name in names:
        if re.sub(".$", lambda m: "ab"[m[0] == "a"], name) not in names:
            sys.exit("half a transaction: %s" % name)
    print("%d acknowledged, %d rows" % (len(acknowledged), len(names)))


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](sys.argv[2], sys.argv[3])
