"""A learning switch for os-ken, OpenFlow 1.0 and 1.2 to 1.5 (os-ken has no
1.1): run by osken-manager.  OPENFLOW in the environment is the one version
that it speaks, such as 1.3."""
import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import (CONFIG_DISPATCHER, MAIN_DISPATCHER,
                                       set_ev_cls)
from os_ken.lib.packet import ethernet, packet
from os_ken.ofproto import (ofproto_v1_0, ofproto_v1_2, ofproto_v1_3,
                            ofproto_v1_4, ofproto_v1_5)

VERSIONS = {'1.0': ofproto_v1_0, '1.2': ofproto_v1_2, '1.3': ofproto_v1_3,
            '1.4': ofproto_v1_4, '1.5': ofproto_v1_5}
VERSION = VERSIONS[os.environ['OPENFLOW']].OFP_VERSION


class LearningController(app_manager.OSKenApp):
    OFP_VERSIONS = [VERSION]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ports = {}         # By Ethernet address.

    def add_flow(self, dp, priority, match, actions):
        ofp, parser = dp.ofproto, dp.ofproto_parser
        if ofp.OFP_VERSION == ofproto_v1_0.OFP_VERSION:
            what = {'actions': actions}
        else:
            what = {'instructions': [parser.OFPInstructionActions(
                ofp.OFPIT_APPLY_ACTIONS, actions)]}
        dp.send_msg(parser.OFPFlowMod(
            datapath=dp, match=match, cookie=0, command=ofp.OFPFC_ADD,
            idle_timeout=0, hard_timeout=0, priority=priority, **what))

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event):
        dp = event.msg.datapath
        self.add_flow(dp, 0, dp.ofproto_parser.OFPMatch(),
                      [dp.ofproto_parser.OFPActionOutput(
                          dp.ofproto.OFPP_CONTROLLER, 0xffff)])

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        msg = event.msg
        dp = msg.datapath
        ofp, parser = dp.ofproto, dp.ofproto_parser
        v10 = ofp.OFP_VERSION == ofproto_v1_0.OFP_VERSION
        in_port = msg.in_port if v10 else msg.match['in_port']
        frame = packet.Packet(msg.data).get_protocol(ethernet.ethernet)

        self.ports[frame.src] = in_port
        output = self.ports.get(frame.dst, ofp.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(output)]
        if output != ofp.OFPP_FLOOD:
            key = 'dl_dst' if v10 else 'eth_dst'
            self.add_flow(dp, 1, parser.OFPMatch(
                **{'in_port': in_port, key: frame.dst}), actions)
        if ofp.OFP_VERSION == ofproto_v1_5.OFP_VERSION:
            source = {'match': parser.OFPMatch(in_port=in_port)}
        else:
            source = {'in_port': in_port}
        dp.send_msg(parser.OFPPacketOut(
            datapath=dp, buffer_id=ofp.OFP_NO_BUFFER, actions=actions,
            data=msg.data, **source))
