#! /usr/bin/env python3
"""Differential test of the database server.

Sends the same random schemas and requests to two servers and compares what
they answer and notify, in canonical form.  With the genuine server on both
sides (--ours=genuine) it checks itself: no difference may appear.

    differential.py --ours=mgmt/db/sluice-db --seconds=20
    differential.py --ours=mgmt/db/sluice-db --seed=1234     one round again

A difference prints its seed, then the round is shrunk to the fewest steps,
operations and members that still show it, and printed with both answers."""

import argparse
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import canonical
import generate
import wire

GENUINE = "/usr/sbin/ovsdb-server"
TOOL = "/usr/bin/ovsdb-tool"          # Of the server to compare with.


class Difference(Exception):
    def __init__(self, step, theirs, ours):
        super().__init__()
        self.step = step
        self.theirs = theirs
        self.ours = ours

    def kind(self):
        """What has to stay the same while shrinking, so that it doesn't end
        with another difference."""
        return (self.step["kind"], self.step.get("method"),
                type(self.theirs), type(self.ours))


class Died(Exception):
    """The server that we compare with has crashed, or has left its data
    inconsistent: nothing to compare."""


class Side:
    """One server, its clients and its names of rows."""

    def __init__(self, program, directory, schema_file, n_clients):
        # With differences in its file, the genuine server forgets what they
        # are to where a column's default is a set with a member.
        self.server = wire.Server(program, directory,
                                  ["--disable-file-column-diff"])
        self.names = canonical.Names()
        self.steps = {}               # (client, request id) -> step
        self.n_clients = n_clients
        self.database = os.path.join(directory, "conf.db")
        subprocess.run([TOOL, "create", self.database, schema_file],
                       check=True, capture_output=True, text=True)
        self.start()

    def start(self):
        self.server.start(self.database)
        self.clients = [self.server.connect() for _ in range(self.n_clients)]

    def alive(self, well):
        """Whether the server lives.  Not 'well': a connection was closed, let
        it have the time to die."""
        try:
            self.server.process.wait(0 if well else .05)
        except subprocess.TimeoutExpired:
            return True
        return False

    def reconnect(self, index):
        """Makes another connection for client 'index', unless the server has
        died of what the last one sent."""
        try:
            self.clients[index] = self.server.connect()
        except OSError:
            self.server.process.wait(10)

    def stop(self):
        for client in self.clients:
            client.close()
        return self.server.stop()

    def collect(self, index, until):
        """Receives on client 'index' until the reply to request 'until'."""
        client = self.clients[index]
        messages = []
        while True:
            try:
                message = client.receive()
            except (wire.Closed, wire.Timeout) as reason:
                messages.append({"connection": type(reason).__name__})
                return messages
            messages.append(message)
            if message.get("id") == until and "method" not in message:
                return messages

    def barrier(self, index):
        """Returns all that is underway to client 'index'."""
        client = self.clients[index]
        if client.closed and not self.alive(False):
            return [{"server": "died"}]
        if client.closed:
            self.reconnect(index)
            return []
        messages = self.collect(index, client.request("echo", []))
        return messages if "connection" in messages[-1] else messages[:-1]

    def request(self, index, step):
        """Sends a request and returns what arrives up to its reply."""
        client = self.clients[index]
        if step["method"] == "cancel":
            # A notification about the client's last blocked transaction.
            client.send({"id": None, "method": "cancel",
                         "params": [client.blocked]})
            return []
        params = self.names.resolve(step["params"])
        request = client.request(step["method"], params)
        self.steps[index, request] = step
        if step.get("async"):
            client.blocked = request
            return []
        return self.collect(index, request)

    def burst(self, index, steps):
        """Sends transactions at once.  What monitors are told meanwhile may
        be merged; only the replies have to be the same."""
        client = self.clients[index]
        replies = {}
        for step in steps:
            request = client.request("transact",
                                     self.names.resolve(step["params"]))
            self.steps[index, request] = step
            replies[request] = {"connection": "no reply"}
        for request in list(replies):
            while replies[request] == {"connection": "no reply"}:
                try:
                    message = client.receive()
                except (wire.Closed, wire.Timeout) as reason:
                    replies[request] = {"connection": type(reason).__name__}
                    break
                if "method" not in message and message["id"] in replies:
                    replies[message["id"]] = message
                    self.names.learn(self.steps[index, message["id"]],
                                     message)
        for i in range(self.n_clients):
            self.barrier(i)
        return [self.canonical(index, list(replies.values()))]

    def play(self, step):
        """Carries out 'step' and returns, for each client, what arrived."""
        index = step["client"]
        arrived = [[] for _ in self.clients]
        if step["kind"] == "restart":
            arrived[index] = [{"status": self.stop()}]
            try:
                self.start()
            except RuntimeError as reason:
                return [[{"server": str(reason)}]]
        elif step["kind"] == "burst":
            return self.burst(index, step["steps"])
        elif step["kind"] == "reconnect":
            self.clients[index].close()
            self.clients[index] = self.server.connect()
            for _ in range(3):          # Until the server has noticed.
                self.barrier(index)
        else:
            arrived[index] = self.request(index, step)
        if (step.get("method") == "monitor_cond_change"
                and arrived[index][-1].get("error")):
            # How much of it was done before the error depends on the order
            # of a hash table.
            cancel = dict(step, method="monitor_cancel",
                          params=step["params"][:1])
            arrived[index] += self.request(index, cancel)
        # After a conversion the server closes connections, in its own time.
        for _ in range(3 if step.get("method") == "convert" else 1):
            for i in range(self.n_clients):
                arrived[i] += self.barrier(i)
        for messages in arrived:
            for message in messages:
                if "method" not in message:
                    self.names.learn(step, message)
        return [self.canonical(i, messages)
                for i, messages in enumerate(arrived)]

    def canonical(self, index, messages):
        result = []
        for message in messages:
            step = (self.steps.get((index, message.get("id")))
                    if "method" not in message and "id" in message
                    and isinstance(message["id"], int) else None)
            message = self.names.message(message, step)
            if step:
                message["id"] = "<request>"
            result.append(message)
        return canonical.settle_order(result)


def agree(theirs, ours, step):
    """Whether two lists of messages say the same."""
    if canonical.text(theirs) == canonical.text(ours):
        return True
    if step.get("method") == "convert":
        # Connections are closed one by one, locks change hands meanwhile.
        theirs, ours = [[m for m in messages if m.get("method") != "locked"]
                        for messages in (theirs, ours)]
    if step["kind"] == "burst":
        return len(theirs) == len(ours) and all(
            agree([a], [b], dict(s, kind="request"))
            for a, b, s in zip(theirs, ours, step["steps"]))
    if step["kind"] == "request":
        theirs, ours = [canonical.lenient(messages, step)
                        for messages in (theirs, ours)]
    return canonical.text(theirs) == canonical.text(ours)


def create_both(programs, directory, schema, n_clients):
    schema_file = os.path.join(directory, "schema")
    with open(schema_file, "w") as f:
        json.dump(schema, f)
    return [Side(program, os.path.join(directory, name), schema_file,
                 n_clients)
            for program, name in zip(programs, ("theirs", "ours"))]


def play(programs, schema, steps, n_clients):
    """Plays 'steps' (an iterable) and raises Difference at the first."""
    directory = tempfile.mkdtemp(prefix="differential-")
    weak = {name for table in schema["tables"].values()
            for name, column in table["columns"].items()
            if '"weak"' in json.dumps(column)}
    sides = []
    try:
        sides = create_both(programs, directory, schema, n_clients)
        for step in steps:
            theirs, ours = [side.play(step) for side in sides]
            alive = [side.alive("closed" not in canonical.text(answer).lower())
                     for side, answer in zip(sides, (theirs, ours))]
            if ((not alive[0] and alive[1])
                    or (programs[0] == programs[1] and not all(alive))):
                raise Died(step)
            for a, b in zip(theirs, ours):
                if not agree(a, b, step):
                    if canonical.leaves_weak_references(a, b, weak):
                        raise Died(step)
                    raise Difference(step, a, b)
    finally:
        for side in sides:
            side.stop()
        shutil.rmtree(directory, ignore_errors=True)


def valid_schema(rng, directory):
    """Returns a random schema that the genuine tools accept."""
    while True:
        schema = generate.Schema(rng)
        path = os.path.join(directory, "schema")
        with open(path, "w") as f:
            json.dump(schema.json, f)
        done = subprocess.run([TOOL, "schema-name", path], check=False,
                              capture_output=True, text=True)
        if done.returncode == 0:
            return schema


def recorded(generator, n, record):
    """Yields 'n' steps, keeping them in 'record'."""
    for _ in range(n):
        step = generator.step()
        record.append(step)
        yield step


# Shrinking.

def differs(programs, schema, steps, n_clients, kind):
    try:
        play(programs, schema, steps, n_clients)
    except Difference as difference:
        return difference if difference.kind() == kind else None
    except (Died, RuntimeError, subprocess.CalledProcessError):
        pass
    return None


def reductions(items):
    """Yields 'items' with ever smaller pieces left out."""
    size = len(items) // 2
    while size:
        for start in range(0, len(items), size):
            yield items[:start] + items[start + size:]
        size //= 2


def smaller_steps(steps):
    yield from reductions(steps)
    for i, step in enumerate(steps):
        if "params" not in step:
            continue
        for params in smaller_params(step):
            yield steps[:i] + [dict(step, params=params)] + steps[i + 1:]


def smaller_params(step):
    params = step["params"]
    if step["method"] == "transact":
        # Operations keep their places, which name the rows they insert.
        for i in range(len(params) - 1, 0, -1):
            if params[i] != {"op": "comment", "comment": ""}:
                yield (params[:i] + [{"op": "comment", "comment": ""}]
                       + params[i + 1:])
        if len(params) > 2:
            yield params[:-1]
    for i, param in enumerate(params):
        for smaller in smaller_value(param):
            yield params[:i] + [smaller] + params[i + 1:]


def smaller_value(value):
    if isinstance(value, dict):
        for key in value:
            if key not in ("op", "table"):
                yield {k: v for k, v in value.items() if k != key}
        for key in value:
            for smaller in smaller_value(value[key]):
                yield dict(value, **{key: smaller})
    elif isinstance(value, list):
        tagged = len(value) == 2 and value[0] in ("set", "map", "uuid",
                                                  "named-uuid")
        for i in range(len(value)):
            if not tagged:
                yield value[:i] + value[i + 1:]
            for smaller in smaller_value(value[i]):
                yield value[:i] + [smaller] + value[i + 1:]


def shrink(programs, schema, steps, n_clients, difference, seconds):
    kind = difference.kind()
    deadline = time.monotonic() + seconds
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for candidate in smaller_steps(steps):
            found = differs(programs, schema, copy.deepcopy(candidate),
                            n_clients, kind)
            if found:
                steps, difference, progress = candidate, found, True
                break
            if time.monotonic() > deadline:
                break
    return steps, difference


def used_schema(schema, steps):
    """The tables that 'steps' mention and those that they refer to."""
    text = json.dumps(steps)
    wanted = {t for t in schema["tables"] if '"%s"' % t in text}
    while True:
        more = {t for w in wanted for t in schema["tables"]
                if '"refTable": "%s"' % t in json.dumps(schema["tables"][w])}
        if more <= wanted:
            break
        wanted |= more
    return {t: schema["tables"][t] for t in sorted(wanted)}


def report(seed, schema, steps, difference):
    print("seed %d: difference" % seed)
    print("tables: " + json.dumps(used_schema(schema, steps)))
    for step in steps:
        if "params" not in step:
            print("  step %d, client %d: %s %s" % (
                step["id"], step["client"], step.get("method", step["kind"]),
                json.dumps([s["params"] for s in step.get("steps", [])])))
            continue
        print("  step %d, client %d: %s %s"
              % (step["id"], step["client"], step["method"],
                 json.dumps(step["params"])))
    print("expected: " + json.dumps(difference.theirs, ensure_ascii=False))
    print("came:     " + json.dumps(difference.ours, ensure_ascii=False))
    sys.stdout.flush()


def run_round(options, programs, seed):
    """Plays the round of 'seed'.  Returns whether the servers agreed."""
    rng = random.Random(seed)
    directory = tempfile.mkdtemp(prefix="differential-")
    try:
        schema = valid_schema(rng, directory)
    finally:
        shutil.rmtree(directory)
    steps = []
    generator = generate.Generator(rng, schema, options.clients)
    try:
        play(programs, schema.json, recorded(generator, options.steps, steps),
             options.clients)
        return True
    except Died as died:
        print("seed %d: %s failed at step %s"
              % (seed, programs[0], json.dumps(died.args[0])))
        return True
    except Difference as difference:
        found = difference
    if options.shrink:
        steps, found = shrink(programs, schema.json, steps, options.clients,
                              found, options.shrink)
    report(seed, schema.json, steps, found)
    return False


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--theirs", default=GENUINE,
                        help="the server to compare with [%(default)s]")
    parser.add_argument("--ours", default=GENUINE,
                        help="the server to test, or 'genuine' [%(default)s]")
    parser.add_argument("--seed", type=int, help="play this round only")
    parser.add_argument("--first-seed", type=int, metavar="SEED",
                        help="seed of the first round [random]")
    parser.add_argument("--seconds", type=float, default=20,
                        help="how long to go on [%(default)s]")
    parser.add_argument("--rounds", type=int, default=1 << 30,
                        help="at most so many rounds")
    parser.add_argument("--steps", type=int, default=60,
                        help="steps per round [%(default)s]")
    parser.add_argument("--clients", type=int, default=3,
                        help="clients per server [%(default)s]")
    parser.add_argument("--shrink", type=float, default=30, metavar="SECONDS",
                        help="how long to shrink a difference [%(default)s]")
    parser.add_argument("--keep-going", action="store_true",
                        help="don't stop at the first difference")
    options = parser.parse_args()

    programs = [GENUINE if program == "genuine" else os.path.realpath(program)
                for program in (options.theirs, options.ours)]
    if options.seed is not None:
        return 0 if run_round(options, programs, options.seed) else 1

    seed = (options.first_seed if options.first_seed is not None
            else random.randrange(1 << 30))
    deadline = time.monotonic() + options.seconds
    rounds = differences = 0
    print("first seed %d" % seed)
    while time.monotonic() < deadline and rounds < options.rounds:
        if not run_round(options, programs, seed + rounds):
            differences += 1
            if not options.keep_going:
                break
        rounds += 1
    print("%d rounds of %d steps, %d differences"
          % (rounds, options.steps, differences))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
