#! /usr/bin/env python3
"""Many rows and a client that doesn't read.

    many.py SOCKET ROWS"""

import sys

import wire


def main(path, n):
    writer = wire.Connection(path)
    batch = 500
    for start in range(0, n, batch):
        operations = [{"op": "insert", "table": "Interface",
                       "uuid-name": "i%d" % i,
                       "row": {"name": "p%d" % i, "external_ids": [
                           "map", [["vm", "x" * 40], ["n", str(i)]]]}}
                      for i in range(start, start + batch)]
        operations += [{"op": "insert", "table": "Port",
                        "uuid-name": "p%d" % i,
                        "row": {"name": "p%d" % i,
                                "interfaces": ["named-uuid", "i%d" % i]}}
                       for i in range(start, start + batch)]
        ports = ["set", [["named-uuid", "p%d" % i]
                         for i in range(start, start + batch)]]
        if start == 0:
            operations += [
                {"op": "insert", "table": "Bridge", "uuid-name": "br",
                 "row": {"name": "br0", "ports": ports}},
                {"op": "update", "table": "Open_vSwitch", "where": [],
                 "row": {"bridges": ["named-uuid", "br"]}}]
        else:
            operations.append({"op": "mutate", "table": "Bridge", "where": [],
                               "mutations": [["ports", "insert", ports]]})
        result = writer.call("transact", ["Open_vSwitch"] + operations,
                             60)["result"]
        assert not any("error" in r for r in result), result[-1]

    sleeper = wire.Connection(path)
    reply = sleeper.call("monitor_cond",
                         ["Open_vSwitch", "m", {"Interface": {},
                                                "Bridge": {}}], 60)
    print("%d rows in one reply" % len(reply["result"]["Interface"]))

    # Each update is about 1 kB: more than any socket buffers.
    for i in range(n + 1):
        writer.request("transact", ["Open_vSwitch", {
            "op": "update", "table": "Bridge", "where": [],
            "row": {"external_ids": ["map", [["n", str(i)],
                                             ["padding", "x" * 1000]]]}}])
        if i % 100 == 99 or i == n:
            while writer.receive(60)["id"] != writer.next_id:
                pass
    print("%d updates while one client sleeps" % (n + 1))

    wanted = '["n", "%d"]' % n
    while wanted not in str(sleeper.receive(60)).replace("'", '"'):
        pass
    print("the sleeper has seen the last one")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
