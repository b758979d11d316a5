"""What two servers may differ in, taken out of their messages.

The same request makes rows with other UUIDs on each server.  Each UUID that a
server hands out for an inserted row becomes the row's name, "@STEP.OPERATION",
and back in what is sent to it.  Row versions and transaction ids become fixed
words.  Order is dropped only where it follows from UUIDs or isn't defined:
rows of a select, elements of a set of UUIDs."""

import hashlib
import json
import re

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-"
                  "[0-9a-f]{12}")
ROW = re.compile(r"@\d+\.\d+")
INDEX = re.compile("(Transaction causes multiple rows) in .* table to have "
                   "identical values.*")
DANGLING = re.compile("Table .* references nonexistent row .*")

# The UUIDs that the test itself makes up.
MADE_UP = ("00000000-", "c0ffee00-", "5eed0000-", "dead")


def text(value):
    return json.dumps(value, sort_keys=True)


def lenient(messages, step):
    """Takes out of the replies in 'messages' to 'step' what errors say, if
    more than one could be reported: servers don't have to find the same one
    first."""
    result = []
    for message in messages:
        if message.get("id") == "<request>":
            message = dict(message)
            if step["method"].startswith("monitor") and message.get("error"):
                message["error"] = "<one of several>"
            elif isinstance(message.get("result"), list):
                message["result"] = [
                    {"error": "<one of several>"}
                    if isinstance(place, dict) and "error" in place
                    and ambiguous(operation) else place
                    for place, operation in zip(
                        message["result"], step["params"][1:] + [None])]
        result.append(message)
    return result


def ambiguous(operation):
    """Whether there can be more than one error in 'operation', or in the
    defaults of the columns of the row that it inserts."""
    if not isinstance(operation, dict):
        return False
    parts = [operation.get(member)
             for member in ("row", "where", "rows", "mutations")]
    parts += [row for row in (operation.get("rows") or [])
              if isinstance(operation["rows"], list)]
    return operation.get("op") == "insert" or any(
        isinstance(part, (dict, list)) and len(part) > 1 for part in parts)


def leaves_weak_references(theirs, ours, columns):
    """Whether 'theirs' differs from 'ours' only in that some of the weak
    references in 'columns', sets or maps, are still there.  When several rows
    of a transaction have to do with them, ovsdb-server 3.1 may leave some that
    dangle."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return theirs.keys() ^ ours.keys() <= columns and all(
            leaves_weak_references(theirs[key], ours[key], columns)
            or (key in columns and subset(theirs[key], ours[key]))
            for key in theirs.keys() & ours.keys())
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(
            leaves_weak_references(a, b, columns)
            for a, b in zip(theirs, ours))
    return text(theirs) == text(ours)


def subset(a, b):
    """Whether one of two sets or maps is a part of the other.  (Which one
    depends on whether they are values or differences.)"""
    a, b = members(a), members(b)
    return (all(member in b for member in a)
            or all(member in a for member in b))


def members(value):
    """The members of a set or map."""
    return (value[1] if isinstance(value, list) and value
            and value[0] in ("set", "map") else [value])


def settle_order(messages):
    """Sorts notifications that arrive together: which of a client's monitors
    comes first, or of the locks that another client leaves, isn't defined."""
    messages = [m for m in messages
                if m.get("method") not in ("update2", "update3")
                or m["params"][-1]]
    result = []
    start = 0
    for i, message in enumerate(messages + [None]):
        method = str((message or {}).get("method"))
        if "update" not in method and method != "locked":
            result += sorted(messages[start:i], key=text) + [message]
            start = i + 1
    return result[:-1]


class Names:
    """One server's row names."""

    def __init__(self):
        self.uuid_of = {}
        self.name_of = {}

    def learn(self, step, reply):
        """Takes the names of the rows that the transaction 'step' inserted
        from its 'reply'."""
        results = reply.get("result")
        if step.get("method") != "transact" or not isinstance(results, list):
            return
        for index, result in enumerate(results):
            uuid = result.get("uuid") if isinstance(result, dict) else None
            if isinstance(uuid, list) and len(uuid) == 2:
                name = "@%d.%d" % (step["id"], index)
                self.uuid_of[name] = uuid[1]
                self.name_of.setdefault(uuid[1], name)

    def resolve(self, value):
        """'value' with this server's UUIDs in place of the rows' names.  The
        name of a row that was never inserted becomes a UUID of its own."""
        if isinstance(value, dict):
            return {key: self.resolve(v) for key, v in value.items()}
        if isinstance(value, list):
            return [self.resolve(v) for v in value]
        if isinstance(value, str) and ROW.fullmatch(value):
            if value not in self.uuid_of:
                digest = hashlib.md5(value.encode()).hexdigest()
                return "dead%s-%s-%s-%s-%s" % (
                    digest[:4], digest[4:8], digest[8:12], digest[12:16],
                    digest[16:28])
            return self.uuid_of[value]
        return value

    def rename(self, string):
        return UUID.sub(lambda m: self.name_of.get(
            m[0], m[0] if m[0].startswith(MADE_UP) else "<other>"), string)

    def canonical(self, value):
        if isinstance(value, str):
            return self.rename(value)
        if isinstance(value, dict):
            return {self.rename(key): "<version>" if key == "_version"
                    else self.rows(v) if key == "rows"
                    else self.canonical(v) for key, v in value.items()}
        if isinstance(value, list):
            value = [self.canonical(v) for v in value]
            if (len(value) == 2 and value[0] in ("set", "map")
                    and isinstance(value[1], list)
                    and '"uuid"' in text(value[1])):
                value[1].sort(key=text)
            return value
        return value

    def rows(self, value):
        value = self.canonical(value)
        return sorted(value, key=text) if isinstance(value, list) else value

    def message(self, message, step=None):
        """Returns 'message' in canonical form; 'step' is the request that it
        answers."""
        message = self.canonical(message)
        if message.get("error") is not None:
            message.setdefault("result", None)
        method = step["method"] if step else None
        result = message.get("result")
        if (method == "monitor_cond_since" and isinstance(result, list)
                and len(result) == 3):
            result[1] = "<transaction>"
        elif message.get("method") == "update3":
            message["params"][1] = "<transaction>"
        if message.get("method") in ("update2", "update3"):
            self.drop_empty(message["params"][-1])
        elif method == "transact" and isinstance(result, list):
            operations = step["params"][1:] + [None]
            for place, operation in zip(result, operations):
                self.error(place, operation)
        self.error(message.get("error"))
        if method == "convert" and isinstance(message.get("error"), dict):
            # Of whichever row couldn't be converted.
            message["error"] = "<of one of several rows>"
        return message

    @staticmethod
    def drop_empty(tables):
        """ovsdb-server mentions rows of which no monitored column changed, if
        the condition is about another column that did."""
        for table in list(tables):
            tables[table] = {row: change
                             for row, change in tables[table].items()
                             if change != {"modify": {}}}
            if not tables[table]:
                del tables[table]

    @staticmethod
    def error(place, operation=None):
        """An error names what is found first; where there is more to be
        found, what comes first depends on UUIDs, and how long was waited on
        luck."""
        if not isinstance(place, dict) or not isinstance(
                place.get("details"), str):
            return
        details = re.sub(r"after \d+ ms", "after <n> ms", place["details"])
        if place["error"] in ("referential integrity violation",
                              "constraint violation"):
            details = ROW.sub("<row>", UUID.sub("<row>", details))
            details = INDEX.sub(r"\1 ...", details)
            details = DANGLING.sub("Table ...", details)
            details = re.sub(r"of \d+ remaining", "of <n> remaining", details)
        if isinstance(operation, dict) and operation.get("op") == "mutate":
            where = operation.get("where")
            if isinstance(where, list) and not any(
                    isinstance(clause, list) and clause[:2] == ["_uuid", "=="]
                    for clause in where) and "syntax" not in place:
                place["error"] = details = "<of one of several rows>"
        place["details"] = details
