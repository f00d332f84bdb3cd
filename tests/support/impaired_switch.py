"""A switch between network namespaces whose links can be cut, delayed and made to lose frames.

It does in user space what ``tc netem`` does in kernels that have it, which many small ones lack: run inside
the switch's namespace, it takes each frame from one port (AF_PACKET) and puts it on another, later or not.
Frames carry their virtio header (PACKET_VNET_HDR), so that segmentation and checksums that the sending side
left to its network card are left to the receiving side's, as on a veth pair.

Commands on standard input, one JSON object a line: ``{"port": NAME, "up": true, "delay_s": 0, "loss": 0}``;
each is answered by a line. The end of the input is the end of the switch.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import random
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass

_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_HEADER = 10  # struct virtio_net_hdr
_OUTGOING = 4


@dataclass
class Port:
    name: str
    link: socket.socket
    up: bool = True
    delay_s: float = 0.0
    loss: float = 0.0


def open_port(name: str) -> Port:
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    link.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, struct.pack("i", 1))
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * 1024 * 1024)
    link.bind((name, _ETH_P_ALL))
    link.setblocking(False)
    return Port(name, link)


def run(names: list[str]) -> None:
    ports = {name: open_port(name) for name in names}
    by_descriptor = {port.link.fileno(): port for port in ports.values()}
    poller = select.poll()
    for descriptor in (0, *by_descriptor):
        poller.register(descriptor, select.POLLIN)
    places: dict[bytes, Port] = {}
    chance = random.Random(20211121)
    order = itertools.count()
    waiting: list[tuple[float, int, Port, bytes]] = []
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, target, frame = heapq.heappop(waiting)
            if target.up:
                with contextlib.suppress(OSError):  # a full queue: one more lost frame
                    target.link.send(frame)
        timeout = None if not waiting else max(0, (waiting[0][0] - now) * 1000)
        for descriptor, _ in poller.poll(timeout):
            if descriptor == 0:
                line = sys.stdin.readline()
                if not line:
                    return
                order_given = json.loads(line)
                port = ports[order_given.pop("port")]
                for key, value in order_given.items():
                    setattr(port, key, value)
                print("done", flush=True)
                continue
            source = by_descriptor[descriptor]
            for _ in range(64):
                try:
                    frame, address = source.link.recvfrom(_HEADER + 65_600)
                except BlockingIOError:
                    break
                if address[2] == _OUTGOING or not source.up:
                    continue
                target_mac, source_mac = frame[_HEADER : _HEADER + 6], frame[_HEADER + 6 : _HEADER + 12]
                places[source_mac] = source
                known = places.get(target_mac)
                for target in [known] if known is not None else ports.values():
                    if target is source or not target.up:
                        continue
                    if chance.random() < max(source.loss, target.loss):
                        continue
                    due = time.monotonic() + source.delay_s + target.delay_s
                    heapq.heappush(waiting, (due, next(order), target, frame))


if __name__ == "__main__":
    run(sys.argv[1:])
