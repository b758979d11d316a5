#! /usr/bin/env python3
"""Messages of unusual size and shape.

    limits.py SOCKET"""

import sys

import wire


def outcome(connection, request_id):
    try:
        while connection.receive(60).get("id") != request_id:
            pass
    except wire.Closed:
        return "closed"
    return "answered"


def main(path):
    for depth in (990, 1010):
        connection = wire.Connection(path)
        connection.send_text('{"id": 7, "method": "echo", "params": %s%s}'
                             % ("[" * depth, "]" * depth))
        print("depth %d: %s" % (depth, outcome_of_text(connection)))

    connection = wire.Connection(path)
    connection.send({"id": 7, "method": "echo", "params": ["x" * 10000000]})
    print("10 MB: " + outcome(connection, 7))

    connection = wire.Connection(path)
    for c in '{"id": 7, "method": "echo", "params": ["a", {"b": "\\""}]}':
        connection.send_text(c)
    print("byte by byte: " + outcome(connection, 7))

    connection = wire.Connection(path)
    connection.send_text("".join(
        '{"id": %d, "method": "echo", "params": []}' % i
        for i in range(1000)))
    ids = [connection.receive()["id"] for _ in range(1000)]
    print("thousand requests at once: answered"
          + (" in order" if ids == list(range(1000)) else ""))

    parts = []
    for i in range(3):
        parts.append(wire.Connection(path))
        parts[i].send_text('{"id": 7, "method": "echo", "params": ["'
                           + "x" * (20000000 - i))
    print("partly sent: first " + outcome_of_text(parts[0]))
    for connection in parts[1:]:
        connection.send_text('"]}')
    print("the others " + ", ".join(outcome(c, 7) for c in parts[1:]))

    wire.Connection(path).call("list_dbs", [])
    print("others are served")


def outcome_of_text(connection):
    """Like outcome(), for a reply too deep for Python's decoder."""
    text = ""
    while text.count("}") < 1:
        data = connection.sock.recv(1 << 16)
        if not data:
            return "closed"
        text += data.decode()
        if '"error":{' in text.replace(" ", "") or "error" in text[:200] \
                and '"error":null' not in text.replace(" ", ""):
            # The server says why before it closes.
            while connection.sock.recv(1 << 16):
                pass
            return "closed"
    return "answered"


if __name__ == "__main__":
    main(sys.argv[1])
