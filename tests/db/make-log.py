#! /usr/bin/env python3
"""Writes an OVSDB log whose strings are not all UTF-8, and whose second
transaction is a difference."""

import hashlib
import json
import sys

SCHEMA = {"name": "Test", "version": "1.0.0", "tables": {"T": {
    "isRoot": True,
    "columns": {
        "s": {"type": "string"},
        "i": {"type": "integer"},
        "r": {"type": "real"},
        "m": {"type": {"key": "string", "value": "string",
                       "min": 0, "max": "unlimited"}}}}}}
ROW = b"1df66a7f-cdf7-4db6-82e6-7a2e5db6a4c1"


def record(body):
    body += b"\n"
    return b"OVSDB JSON %d %s\n%s" % (
        len(body), hashlib.sha1(body).hexdigest().encode(), body)


sys.stdout.buffer.write(
    record(json.dumps(SCHEMA).encode())
    + record(b'{"_date": 5, "_comment": "a\xfcb", "T": {"' + ROW + b'": {'
             b'"s": "M\xfcller \xc3\xa4 \xed\xb0\x80", "i": 12,'
             b'"r": 12345678901234567890,'
             b'"m": ["map", [["k\xff", "v"], ["a", "b"], ["c", "d"]]]}}}')
    + record(b'{"_is_diff": true, "T": {"' + ROW + b'": {"s": "x\xe4",'
             b'"m": ["map", [["a", "b"], ["c", "e"], ["f", "g"]]]}}}'))
