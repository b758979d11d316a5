#! /usr/bin/env python3
"""A client of a server with a probe interval of a second, which first answers
the server's probes and then doesn't.

    probe.py PORT"""

import json
import socket
import sys
import time


def receive(sock):
    """Returns the next probe, None if the server closes the connection."""
    sock.settimeout(60)
    text = ""
    while True:
        data = sock.recv(1000)
        if not data:
            return None
        text += data.decode()
        try:
            return json.loads(text)
        except ValueError:
            pass


def main(port):
    sock = socket.create_connection(("127.0.0.1", int(port)))
    for _ in range(2):
        probe = receive(sock)
        print("probed: %s %s" % (probe["method"], probe["params"]))
        sock.sendall(json.dumps({"id": probe["id"], "error": None,
                                 "result": probe["params"]}).encode())
    while receive(sock):                # The last probe.
        start = time.monotonic()
    print("silent: cut off%s" % (
        " at once" if time.monotonic() - start < .5 else ""))


if __name__ == "__main__":
    main(sys.argv[1])
