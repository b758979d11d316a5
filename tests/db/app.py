#! /usr/bin/env python3
"""What Neutron does through ovsdbapp, which waits for the switch.

    app.py REMOTE"""

import sys

from ovsdbapp.backend.ovs_idl import connection
from ovsdbapp.backend.ovs_idl import event
from ovsdbapp.schema.open_vswitch import impl_idl


class PortAdded(event.WaitEvent):
    """Fulfilled once port "p0" is there."""
    ONETIME = True

    def __init__(self):
        super().__init__((self.ROW_CREATE,), "Port",
                         (("name", "=", "p0"),), timeout=30)


class Idl(connection.OvsdbIdl):
    """An IDL that hands row events on, as Neutron's does."""

    def __init__(self, remote, schema):
        super().__init__(remote, schema)
        self.handler = event.RowEventHandler()

    def notify(self, change, row, updates=None):
        self.handler.notify(change, row, updates)


def main(remote):
    idl = Idl.from_server(remote, "Open_vSwitch")
    api = impl_idl.OvsdbIdl(connection.Connection(idl, timeout=30))
    added = PortAdded()
    idl.handler.watch_event(added)

    with api.transaction(check_error=True) as txn:
        txn.add(api.add_br("br0", may_exist=True, datapath_type="netdev"))
        txn.add(api.set_controller("br0", ["tcp:127.0.0.1:6633"]))
        txn.add(api.db_set("Bridge", "br0", ("fail_mode", "secure"),
                           ("protocols", ["OpenFlow10", "OpenFlow15"])))
    with api.transaction(check_error=True) as txn:
        txn.add(api.add_port("br0", "p0", may_exist=True))
        txn.add(api.db_set("Interface", "p0", ("external_ids", {
            "iface-id": "port-1", "attached-mac": "00:00:00:00:00:01"})))
        txn.add(api.db_set("Interface", "p0", ("type", "internal")))
        txn.add(api.db_set("Port", "p0", ("tag", 7)))
    print("event: %s" % added.wait())
    print("bridges: %s" % api.list_br().execute(check_error=True))
    print("ports: %s" % api.list_ports("br0").execute(check_error=True))
    print("bridge of p0: %s" % api.port_to_br("p0").execute())
    print("tag: %s" % api.db_get("Port", "p0", "tag").execute())
    print("found: %s" % [row["name"] for row in api.db_find(
        "Interface", ("external_ids", "=", {"iface-id": "port-1"}),
        columns=["name"]).execute(check_error=True)])
    print("fail mode: %s" % api.db_get("Bridge", "br0",
                                       "fail_mode").execute())

    queue = api.db_create("Queue", other_config={"max-rate": "1000000"}
                          ).execute(check_error=True)
    qos = api.db_create("QoS", type="linux-htb", queues={0: queue}
                        ).execute(check_error=True)
    api.db_set("Port", "p0", ("qos", qos)).execute(check_error=True)
    print("queues: %s" % list(api.db_get("QoS", qos, "queues").execute()))
    api.db_clear("Port", "p0", "qos").execute(check_error=True)
    api.db_destroy("QoS", qos).execute(check_error=True)
    api.db_add("Bridge", "br0", "other_config", {"a": "b"}
               ).execute(check_error=True)
    api.db_remove("Bridge", "br0", "other_config", "a"
                  ).execute(check_error=True)

    api.del_port("p0", "br0").execute(check_error=True)
    api.del_br("br0").execute(check_error=True)
    try:
        api.del_br("br0", if_exists=False).execute(check_error=True)
    except RuntimeError as error:
        print("again: %s" % error)
    print("bridges: %s" % api.list_br().execute(check_error=True))


if __name__ == "__main__":
    main(sys.argv[1])
