#!/usr/bin/env python3
"""Sends numbered datagrams, or checks that they come, in order.

    sequence.py send ADDRESS PORT RATE          until it is ended
    sequence.py receive PORT                    says "ready", then, on SIGTERM,
                                                what came

The receiver prints "received N, lost N, reordered N, duplicate N".
"""
import signal
import socket
import struct
import sys
import time


def send(address, port, rate):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    start = time.monotonic()
    n = 0
    while True:
        # A machine that was busy elsewhere is not made up for all at once.
        due = int((time.monotonic() - start) * rate)
        for _ in range(min(due - n, 20)):
            try:
                sock.send(struct.pack('!Q', n))
            except ConnectionRefusedError:
                pass
            n += 1
        if due - n > 200:
            start += (due - n) / rate
        time.sleep(0.001)


def receive(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)     # SO_RCVBUFFORCE
    sock.bind(('', port))
    seen = set()
    reordered = duplicate = 0
    first = last = None
    done = []
    signal.signal(signal.SIGTERM, lambda *_: done.append(1))
    sock.settimeout(0.2)
    print('ready', flush=True)
    while not done:
        try:
            (n,) = struct.unpack('!Q', sock.recv(100))
        except socket.timeout:
            continue
        if first is None:
            first = last = n - 1
        if n in seen:
            duplicate += 1
        elif n < last:
            reordered += 1
        seen.add(n)
        last = max(last, n)
    lost = 0 if first is None else last - first - len(seen)
    print('received %d, lost %d, reordered %d, duplicate %d'
          % (len(seen), lost, reordered, duplicate), flush=True)


if sys.argv[1] == 'send':
    send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    receive(int(sys.argv[2]))
