#! /usr/bin/env python3
"""Talks JSON-RPC to a database server, for tests that say word for word what
is sent and what comes.

    talk.py SOCKET < SCRIPT

Each line of the script is a request of connection "a", or of the one that is
named in front:

    get_schema ["Open_vSwitch"]
    b: transact ["Open_vSwitch", {"op": "select", ...}]

Printed are all messages that arrive up to the reply, on any connection,
notifications with their method, with members in sorted order.  UUIDs are
replaced by <0>, <1>, ... in the order in which they show up, row versions by
"<version>"; a script may use "<0>" where it has been printed.  Other lines:

    raw TEXT            sends TEXT as it is (Python escapes allowed)
    start METHOD PARAMS sends a request and doesn't wait for the reply
    cancel              cancels the connection's request that was started last
    sleep SECONDS       for what takes time by its nature
    close               closes the connection

Lines that begin with # are comments."""

import json
import re
import sys
import time

import wire

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-"
                  "[0-9a-f]{12}")
ZERO = "00000000-0000-0000-0000-000000000000"


class Talk:
    def __init__(self, path):
        self.path = path
        self.connections = {}
        self.uuids = []

    def connection(self, name):
        if name not in self.connections:
            self.connections[name] = wire.Connection(self.path)
        return self.connections[name]

    def symbol(self, uuid):
        if uuid == ZERO:
            return uuid
        if uuid not in self.uuids:
            self.uuids.append(uuid)
        return "<%d>" % self.uuids.index(uuid)

    def text(self, value):
        value = self.versionless(value)
        for match in UUID.finditer(json.dumps(value, sort_keys=True)):
            self.symbol(match[0])       # New ones get their numbers.
        return json.dumps(self.symbolic(value), sort_keys=True,
                          ensure_ascii=False)

    def symbolic(self, value):
        if isinstance(value, dict):
            return {self.symbolic(k): self.symbolic(v)
                    for k, v in value.items()}
        if isinstance(value, list):
            return [self.symbolic(v) for v in value]
        if isinstance(value, str):
            return UUID.sub(lambda m: self.symbol(m[0]), value)
        return value

    def versionless(self, value):
        if isinstance(value, dict):
            return {k: "<version>" if k == "_version" else self.versionless(v)
                    for k, v in sorted(value.items())}
        if isinstance(value, list):
            if value[:1] == ["set"] and '"uuid"' in json.dumps(value):
                # In the order in which the UUIDs showed up.
                value = ["set", sorted(value[1], key=self.first_shown)]
            return [self.versionless(v) for v in value]
        return value

    def first_shown(self, atom):
        return (self.uuids.index(atom[1]) if atom[1] in self.uuids
                else len(self.uuids))

    def resolve(self, text):
        return re.sub(r"<(\d+)>", lambda m: self.uuids[int(m[1])], text)

    def show(self, name, message):
        prefix = "" if name == "a" else name + ": "
        if "method" in message:
            print(prefix + message["method"], self.text(message["params"]))
        elif message.get("error") is not None:
            print(prefix + "error", self.text(message["error"]))
        else:
            print(prefix + "result", self.text(message.get("result")))

    def receive(self, name, until):
        """Shows what arrives on connection 'name' before the reply 'until',
        and returns that, or None if the connection is closed first."""
        connection = self.connections[name]
        while True:
            try:
                message = connection.receive()
            except wire.Closed:
                print(("" if name == "a" else name + ": ") + "closed")
                del self.connections[name]
                return None
            if "method" not in message and message.get("id") == until:
                return message
            self.show(name, message)

    def settle(self):
        """Shows what is underway on any connection."""
        for name in sorted(self.connections):
            self.receive(name, self.connections[name].request("echo", []))

    def line(self, name, line):
        word, _, rest = line.partition(" ")
        rest = self.resolve(rest)
        if word == "sleep":
            time.sleep(float(rest))
        elif word == "close":
            self.connections.pop(name).close()
            self.settle()               # Until the server has noticed.
            self.settle()
        elif word == "cancel":
            connection = self.connection(name)
            connection.send({"id": None, "method": "cancel",
                             "params": [connection.blocked]})
        elif word == "start":
            method, _, params = rest.partition(" ")
            connection = self.connection(name)
            connection.blocked = connection.request(method, json.loads(params))
        elif word == "raw":
            text = rest.encode("latin-1").decode("unicode_escape")
            self.connection(name).send_text(text)
        else:
            request = self.connection(name).request(word, json.loads(rest))
            reply = self.receive(name, request)
            if reply:
                self.show(name, reply)
        self.settle()

    def run(self, script):
        for line in script:
            line = line.strip()
            if line and not line.startswith("#"):
                match = re.match(r"([a-z]): *(.*)", line)
                self.line(*(match.groups() if match else ("a", line)))
                sys.stdout.flush()


if __name__ == "__main__":
    Talk(sys.argv[1]).run(sys.stdin)
