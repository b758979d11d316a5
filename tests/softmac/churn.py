#!/usr/bin/env python3
"""Compares what should be in an uplink's filter with what the kernel has, after
random changes.

    churn.py SEED ROUNDS MACHINE UPLINK PORT...

Runs in the namespace where the other ends of the switch's PORTs are; MACHINE is
that of the switch, whose bridge br0 has UPLINK.  Standard input and output are
the test's: "crash" asks it to kill the switch and to start another one."""
import os
import random
import socket
import subprocess
import sys
import time

seed, rounds = int(sys.argv[1]), int(sys.argv[2])
machine, uplink, ports = sys.argv[3], sys.argv[4], sys.argv[5:]
rng = random.Random(seed)
BRIDGE = '02:00:00:00:00:b0'
PATIENCE = int(os.environ.get('SLUICE_TEST_PATIENCE', '3'))

learnt = {p: set() for p in ports}      # Of ports that exist.
static = {}                             # By port.
controller = set()
sockets = {}
n_changes = 0


def run(*command):
    return subprocess.run(command, check=True, capture_output=True,
                          text=True).stdout


def vsctl(*args):
    run('ovs-vsctl', *args)


def some_mac():
    return '02:00:00:%02x:%02x:%02x' % (rng.randrange(3), rng.randrange(4),
                                        rng.randrange(256))


def kernel():
    lines = run('bridge', '-n', machine, 'fdb', 'show', 'dev', uplink)
    return {line.split()[0] for line in lines.splitlines()
            if not int(line[1], 16) & 1}


def wanted():
    return {BRIDGE} | controller | set(static.values()) | set().union(
        *learnt.values())


def send(port, mac):
    if port not in sockets:
        sockets[port] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        sockets[port].bind((port, 0))
    sockets[port].send(b'\xff' * 6 + bytes.fromhex(mac.replace(':', ''))
                       + b'\x88\xb5' + bytes(46))
    learnt[port].add(mac)


def frames():
    for _ in range(rng.randrange(1, 40)):
        send(rng.choice(list(learnt)), some_mac())


def remove_port():
    port = rng.choice(list(learnt))
    vsctl('del-port', port)
    del learnt[port]
    static.pop(port, None)


def add_port():
    absent = [p for p in ports if p not in learnt]
    if absent:
        port = rng.choice(absent)
        args = ['add-port', 'br0', port, '--', 'set', 'Interface', port,
                'options:softmac-max=10000']
        if rng.randrange(2):
            static[port] = some_mac()
            args += ['external_ids:attached-mac="%s"' % static[port]]
        vsctl(*args)
        learnt[port] = set()


def change_static():
    port = rng.choice(list(learnt))
    if port in static and rng.randrange(2):
        vsctl('remove', 'Interface', port, 'external_ids', 'attached-mac')
        del static[port]
    else:
        static[port] = some_mac()
        vsctl('set', 'Interface', port,
              'external_ids:attached-mac="%s"' % static[port])


def packet_out():
    mac = some_mac()
    run('ovs-ofctl', 'packet-out', 'br0', 'in_port=CONTROLLER packet='
        'ffffffffffff%s88b5%s actions=%s' % (mac.replace(':', ''), '00' * 46,
                                             uplink))
    controller.add(mac)


def crash():
    print('crash', flush=True)
    sys.stdin.readline()


def check(what):
    global n_changes
    deadline = time.monotonic() + 10 * PATIENCE
    n_changes += len(wanted())
    while kernel() != wanted():
        if time.monotonic() > deadline:
            print('after', what, 'of seed', seed, flush=True)
            print('missing', sorted(wanted() - kernel()), flush=True)
            print('too many', sorted(kernel() - wanted()), flush=True)
            sys.exit(1)
        time.sleep(0.01)


STEPS = [frames] * 8 + [remove_port, add_port, add_port, change_static,
                        packet_out]
for i in range(rounds):
    if i and not i % 100:
        step = crash
    else:
        step = rng.choice(STEPS)
    if len(learnt) < 2:
        step = add_port
    step()
    check(step.__name__)
print('done', flush=True)
