#! /usr/bin/env python3
"""Listens on a unix socket for a database server that connects actively, asks
it for its databases and keeps the connection."""

import json
import os
import socket
import sys

path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
listener.listen()
while True:
    connection, _ = listener.accept()
    connection.sendall(b'{"id":1,"method":"list_dbs","params":[]}')
    while True:
        data = connection.recv(65536)
        if not data:
            break
        print(data.decode(), flush=True)
        try:
            message = json.loads(data)
        except ValueError:
            continue
        if message.get("method") == "echo":
            connection.sendall(json.dumps({
                "id": message["id"], "result": message["params"],
                "error": None}).encode())
