#! /usr/bin/env python3
"""python3-openvswitch's IDL at a database server.

    idl.py SERVER SCHEMA           a few transactions, with what they did
    idl.py --follow SERVER SCHEMA  the names of the bridges, at each change"""

import sys

import ovs.db.idl
import ovs.poller


def make_idl(server, schema):
    helper = ovs.db.idl.SchemaHelper(schema)
    helper.register_columns("Open_vSwitch", ["bridges", "next_cfg"])
    helper.register_columns("Bridge", ["name", "ports"])
    helper.register_columns("Port", ["name", "interfaces"])
    helper.register_columns("Interface", ["name", "type"])
    return ovs.db.idl.Idl(server, helper)


def wait(idl, condition):
    """Runs 'idl' until 'condition' holds."""
    while True:
        idl.run()
        result = condition()
        if result:
            return result
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()


def commit(txn):
    status = txn.commit_block()
    if status != ovs.db.idl.Transaction.SUCCESS:
        sys.exit("%s: %s" % (status, txn.get_error()))


def root(idl):
    return next(iter(idl.tables["Open_vSwitch"].rows.values()), None)


def add_port(txn, bridge, name):
    interface = txn.insert(txn.idl.tables["Interface"])
    interface.name = name
    port = txn.insert(txn.idl.tables["Port"])
    port.name = name
    port.interfaces = [interface]
    bridge.addvalue("ports", port)


def show(idl):
    for bridge in idl.tables["Bridge"].rows.values():
        print("bridge %s with ports %s" % (
            bridge.name, " ".join(sorted(p.name for p in bridge.ports))))


def exercise(server, schema):
    idl = make_idl(server, schema)
    wait(idl, lambda: root(idl))
    txn = ovs.db.idl.Transaction(idl)
    bridge = txn.insert(idl.tables["Bridge"])
    bridge.name = "br0"
    add_port(txn, bridge, "br0")
    root(idl).addvalue("bridges", bridge.uuid)
    txn.add_comment("from the IDL")
    commit(txn)
    show(idl)

    bridge = idl.tables["Bridge"].rows[txn.get_insert_uuid(bridge.uuid)]
    txn = ovs.db.idl.Transaction(idl)
    for name in ("p0", "p1"):
        add_port(txn, bridge, name)
    commit(txn)
    show(idl)

    # Another client changes what a transaction has verified.
    other = make_idl(server, schema)
    wait(other, lambda: root(other))
    txn = ovs.db.idl.Transaction(idl)
    root(idl).verify("next_cfg")
    root(idl).next_cfg = root(idl).next_cfg + 1
    theirs = ovs.db.idl.Transaction(other)
    root(other).next_cfg = 100
    commit(theirs)
    status = txn.commit_block()
    assert status == ovs.db.idl.Transaction.TRY_AGAIN, status
    wait(idl, lambda: root(idl).next_cfg == 100)
    txn = ovs.db.idl.Transaction(idl)
    root(idl).verify("next_cfg")
    root(idl).next_cfg = root(idl).next_cfg + 1
    commit(txn)
    wait(other, lambda: root(other).next_cfg == 101)
    print("verified write lost and repeated")

    txn = ovs.db.idl.Transaction(idl)
    for port in bridge.ports:
        if port.name == "p0":
            bridge.delvalue("ports", port)
    commit(txn)
    wait(idl, lambda: not any(p.name == "p0" for p in
                              idl.tables["Port"].rows.values()))
    print("p0 gone")

    idl.set_lock("idl_lock")
    wait(idl, lambda: idl.has_lock)
    print("lock held")


def follow(server, schema):
    idl = make_idl(server, schema)
    shown = None
    while True:
        idl.run()
        names = " ".join(sorted(b.name
                                for b in idl.tables["Bridge"].rows.values()))
        if names != shown:
            print(names, flush=True)
            shown = names
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()


if __name__ == "__main__":
    if sys.argv[1] == "--follow":
        follow(*sys.argv[2:])
    else:
        exercise(*sys.argv[1:])
