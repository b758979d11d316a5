#! /usr/bin/env python3
"""Clients that ask too much, of a server that was started with --max-stall=1
--max-connections=5 --max-message=100000.

    slow.py SOCKET CONTROL"""

import socket
import subprocess
import sys
import time

import wire


def is_closed(connection):
    try:
        while True:
            connection.receive(10)
    except wire.Closed:
        return True
    except wire.Timeout:
        return False


def works(connection):
    try:
        return connection.call("echo", [1])["result"] == [1]
    except (wire.Closed, OSError):
        return False


def backlog(control):
    """Bytes that the server keeps for clients that don't read."""
    text = subprocess.run(["ovs-appctl", "-t", control, "memory/show"],
                          check=True, capture_output=True, text=True).stdout
    return sum(int(word.partition(":")[2]) for word in text.split()
               if word.startswith("backlog:"))


def too_many(path):
    connections = [wire.Connection(path) for _ in range(5)]
    print("five clients: %s"
          % ("served" if all(map(works, connections)) else "refused"))
    print("the sixth: %s"
          % ("served" if works(wire.Connection(path)) else "refused"))
    connections.pop().close()
    connections.append(place(path))
    print("after one has gone: %s"
          % ("served" if connections[-1] else "refused"))
    for connection in connections:
        connection.close()


def place(path):
    """Returns a connection, once there is room for one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        connection = wire.Connection(path)
        if works(connection):
            return connection
        time.sleep(.05)
    return None


def too_large(path):
    connection = place(path)
    connection.send({"id": 1, "method": "echo", "params": ["x" * 200000]})
    print("a message of 200 kB: %s"
          % ("closed" if is_closed(connection) else "accepted"))


def flood(path, control):
    """Sends requests with large replies and doesn't read."""
    connection = place(path)
    connection.sock.setblocking(False)
    request = b'{"id":1,"method":"get_schema","params":["Open_vSwitch"]}'
    sent, most, idle, witness = 0, 0, 0, wire.Connection(path)
    while idle < 20 and sent < 100000:
        try:
            connection.sock.send(request)
            sent += 1
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(.02)
            most = max(most, backlog(control))
        except (BrokenPipeError, ConnectionResetError):
            break
    print("who doesn't read its replies: %s, %s" % (
        "isn't read from" if sent < 100000 else "is read from",
        "and little is kept" if 0 < most < 2000000 else
        "and %d bytes are kept" % most))
    print("others meanwhile: %s"
          % ("served" if works(witness) else "refused"))
    wait_closed(connection)


def sleep(path):
    """Monitors and doesn't read."""
    sleeper = wire.Connection(path)
    sleeper.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.call("monitor", ["Open_vSwitch", "m", {"Open_vSwitch": {}}])
    writer = wire.Connection(path)
    for i in range(2000):
        reply = writer.call("transact", ["Open_vSwitch", {
            "op": "update", "table": "Open_vSwitch", "where": [],
            "row": {"external_ids": ["map", [["n", str(i)],
                                             ["x", "x" * 1000]]]}}])
        assert reply["result"] == [{"count": 1}], reply
    print("who doesn't read its updates: holds up nobody")
    wait_closed(sleeper)


def wait_closed(connection):
    """Waits, without reading, until the server closes the connection."""
    connection.sock.setblocking(False)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            connection.sock.send(b" ")
        except BlockingIOError:
            pass
        except OSError:
            print("then it is cut off")
            return
        time.sleep(.05)
    print("it is never cut off")


def main(path, control):
    too_many(path)
    too_large(path)
    flood(path, control)
    sleep(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
