#! /usr/bin/env python3
"""Fault injection at the database's store.

    fault.py --server=mgmt/db/sluice-db --vfs=tests/db/fault-vfs.so

Runs a workload once to count the operations that change files, then again
for each of them and each kind of fault (see fault-vfs.c), with a fault at that
operation.  Each time it is checked, in the server that lives on or in the next
one, that

  - no transaction is there in part;
  - none that was acknowledged as durable is lost;
  - none that was answered by an error is there, even if the server is killed
    then and there.  Only if the disk takes no more writes at all after a sync
    has failed, what that sync has left on it can't be known: a transaction
    that comes back so is counted;
  - an error says that it is about input or output;
  - the server goes on afterward: it accepts transactions, or refuses them
    saying why, and can be read."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import wire

MODES = ["kill", "tear", "power", "error", "full", "nosync", "dead"]
LIVING = MODES[3:]                      # The server survives those.
TRANSACTIONS = 12
CONVERTED = "2.0.0"
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                      "test.ovsschema")


class Broken(Exception):
    """What the store must never do."""


def operations(name, durable):
    """Two rows, of which either both or none must be seen, and a change to a
    third."""
    result = [
        {"op": "insert", "table": "Root", "row": {
            "name": name + "a", "words": ["map", [["k", "v" * 3000]]]}},
        {"op": "insert", "table": "Root", "row": {"name": name + "b"}},
        {"op": "mutate", "table": "Single", "where": [],
         "mutations": [["x", "+=", 1]]}]
    if durable:
        result.append({"op": "commit", "durable": True})
    return result


def convert(connection):
    """Asks for a schema of the next version, in which Root has a column
    more."""
    with open(SCHEMA) as f:
        schema = json.load(f)
    schema["version"] = CONVERTED
    schema["tables"]["Root"]["columns"]["more"] = {"type": "string"}
    return connection.call("convert", ["Test", schema])


def first_error(reply):
    for result in reply["result"]:
        if result and "error" in result:
            return result
    return None


def workload(server):
    """Sends transactions, from two connections and several at a time, then a
    conversion.  Returns the names of those that were acknowledged as durable,
    and of those refused, with the error."""
    acknowledged, refused = [], {}
    waiting = {}
    try:
        connections = [server.connect(), server.connect()]
        connections[0].call("transact", ["Test", {
            "op": "insert", "table": "Single", "row": {}}])
        for n in range(TRANSACTIONS):
            connection = connections[n % 2]
            durable = n % 3 != 2
            name = "t%d" % n
            request = connection.request("transact", [
                "Test", *operations(name, durable)])
            waiting[connection, request] = (name, durable)
            if n % 4 == 3:              # Four are on the way at a time.
                collect(waiting, acknowledged, refused)
        error = convert(connections[0])["error"]
        if error:
            refused["convert"] = error
        else:
            acknowledged.append("convert")
    except (wire.Closed, OSError):
        pass
    return acknowledged, refused


def collect(waiting, acknowledged, refused):
    """Receives the replies that are outstanding."""
    while waiting:
        connection = next(iter(waiting))[0]
        reply = connection.receive(10)
        name, durable = waiting.pop((connection, reply["id"]))
        error = first_error(reply)
        if error:
            refused[name] = error
        elif durable:
            acknowledged.append(name)


def names(server):
    """Returns the names of the rows, what was counted, and the version of the
    schema."""
    connection = server.connect()
    schema = connection.call("get_schema", ["Test"])["result"]
    reply = connection.call("transact", [
        "Test", {"op": "select", "table": "Root", "where": [],
                 "columns": ["name"]},
        {"op": "select", "table": "Single", "where": []}])
    rows, single = [result["rows"] for result in reply["result"]]
    return ({row["name"] for row in rows},
            single[0]["x"] if single else None, schema["version"])


def check(server, acknowledged, refused, when, lenient=False):
    present, n, version = names(server)
    whole = {name[:-1] for name in present}
    for name in whole:
        if not {name + "a", name + "b"} <= present:
            raise Broken("%s: half of transaction %s" % (when, name))
    if n not in (None, len(whole)):     # None: its row wasn't accepted.
        raise Broken("%s: %d transactions, but counted %d"
                     % (when, len(whole), n))
    if version == CONVERTED:
        whole.add("convert")
    for name in acknowledged:
        if name not in whole:
            raise Broken("%s: lost %s, acknowledged as durable"
                         % (when, name))
    revived = [name for name in refused if name in whole]
    if revived and not lenient:
        raise Broken("%s: %s is there, but was answered by %s"
                     % (when, revived[0], refused[revived[0]]))
    return bool(revived)


def go_on(server, name):
    """Whether the server accepts transaction 'name' after the fault; if not,
    it has to say why."""
    reply = server.connect().call("transact", [
        "Test", *operations(name, True)])
    error = first_error(reply)
    if error is None:
        return [name], {}
    if not error.get("details"):
        raise Broken("refuses transactions without saying why: %s" % error)
    return [], {name: error}


def examine(server, fault, acknowledged, refused):
    """Checks the server that lives on after the fault; adds what it accepts
    or refuses to the lists."""
    try:
        check(server, acknowledged, refused, "after the fault")
        more, less = go_on(server, "later")
    except (wire.Closed, OSError):
        if fault.partition(":")[0] in LIVING:
            raise Broken("died of the error") from None
        return "died"
    acknowledged += more
    refused.update(less)
    return "refuses" if less else "goes on"


def run(options, directory, fault):
    """Runs the workload with 'fault' and checks the outcome.  Returns how it
    went."""
    database = os.path.join(directory, "test.db")
    shutil.copy(os.path.join(options.template, "test.db"), database)
    environment = dict(os.environ)
    os.environ["LD_PRELOAD"] = options.preload
    os.environ["FAULT_VFS"] = fault
    os.environ["FAULT_VFS_COUNT"] = os.path.join(directory, "count")
    server = wire.Server(options.server, directory)
    try:
        server.start(database)
    except RuntimeError:
        server = None                   # The fault came that early.
    finally:
        os.environ.clear()
        os.environ.update(environment)

    acknowledged, refused = [], {}
    outcome = "died"
    if server:
        try:
            acknowledged, refused = workload(server)
            if server.process.poll() is None:
                outcome = examine(server, fault, acknowledged, refused)
        finally:
            server.stop(signal.SIGKILL)
    for error in refused.values():
        if not error.get("details"):
            raise Broken("error without details: %s" % error)

    server = wire.Server(options.server, directory).start(database)
    try:
        if check(server, acknowledged, refused, "after a restart",
                 fault.startswith("dead")):
            outcome += ", refused ones revived"
        if not go_on(server, "again")[0]:
            raise Broken("refuses transactions after a restart")
    finally:
        server.stop()
    return outcome


def sanitizer_of(program):
    """The library of AddressSanitizer, if 'program' was built with it: nothing
    may be loaded before that."""
    libraries = subprocess.run(["ldd", program], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
    return re.findall(r"libasan\S* => (\S+)", libraries)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--vfs", required=True)
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="only each N-th operation [%(default)s]")
    parser.add_argument("--fault", help="only this one, MODE:NUMBER")
    options = parser.parse_args()
    options.server = os.path.abspath(options.server)
    options.preload = " ".join(sanitizer_of(options.server)
                               + [os.path.abspath(options.vfs)])

    base = tempfile.mkdtemp(prefix="fault-")
    options.template = base
    failures = 0
    try:
        if os.spawnl(os.P_WAIT, options.server, "ovsdb-tool", "create",
                     os.path.join(base, "test.db"), SCHEMA):
            return 1
        directory = os.path.join(base, "run")
        os.mkdir(directory)
        run(options, directory, "none:0")
        with open(os.path.join(directory, "count")) as f:
            total = int(f.read())
        faults = ([options.fault] if options.fault else
                  ["%s:%d" % (mode, n) for mode in MODES
                   for n in range(1, total + 1, options.every)])
        outcomes = {}
        for fault in faults:
            shutil.rmtree(directory)
            os.mkdir(directory)
            try:
                outcome = run(options, directory, fault)
            except (Broken, RuntimeError, wire.Closed, wire.Timeout,
                    OSError) as reason:
                outcome = "FAILED"
                failures += 1
                print("%s: %s" % (fault, reason or type(reason).__name__))
            key = "%s: %s" % (fault.partition(":")[0], outcome)
            outcomes[key] = outcomes.get(key, 0) + 1
        print("%d operations; %s" % (total, ", ".join(
            "%s %d" % pair for pair in outcomes.items())))
    finally:
        shutil.rmtree(base)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
