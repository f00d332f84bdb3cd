"""Which ports are taken, and by whom as far as the kernel tells."""

from __future__ import annotations

import contextlib
import errno
import functools
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from network.layout import Layout
from network.processes import expected_nodes
from network.records import Records
from network.topology import Node, Topology
from network.topology_file import named_topology

__all__ = ["PortCheck", "PortProblem", "check_ports", "port_is_free", "port_problems"]

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_NODE = re.compile(rb"([^\0=]+)/nodes/[^/\0]+")
"""What a network's processes have in their command or environment: their own folder."""


@dataclass(frozen=True)
class PortCheck:
    """One port that a process needs and does not have yet."""

    node: Node
    use: str
    """Which of the process's services."""
    problem: str = ""
    """Why it cannot listen there; empty where it can."""
    remedy: str = ""
    network: Path | None = None
    """Folder of the other network that has it, where that can be told."""


@dataclass(frozen=True)
class PortProblem:
    """What stands in the way at one port, or at all that another network has."""

    subject: str
    text: str
    remedy: str


def check_ports(layout: Layout, topology: Topology, host: str | None = None) -> Iterator[PortCheck]:
    """Every port of the processes that should run (on one host) and do not, tried where each will listen."""
    running = {record.name for record in Records(layout.run).living("node")}
    listeners = functools.cache(_listeners)
    for node in expected_nodes(layout, topology):
        if host not in (None, node.host) or node.name in running:
            continue
        for use, port in node.ports.items():
            try:
                free = port_is_free(node.listens_at(use), port)
            except OSError as error:
                yield PortCheck(
                    node,
                    use,
                    f"cannot be listened on: {error.strerror}",
                    "is this the host it belongs to (--host)? Correct `hosts` in the topology",
                )
                continue
            if free:
                yield PortCheck(node, use)
                continue
            process = listeners().get(port)
            who = "a process of another user, or in another namespace"
            if process is not None:
                who = f"{_program(process)} (process {process.name})"
            remedy = f"end that process, or {_elsewhere(layout, topology)}"
            yield PortCheck(node, use, f"is taken by {who}", remedy, process and _network_of(process))


def port_problems(layout: Layout, topology: Topology, checks: Iterable[PortCheck]) -> Iterator[PortProblem]:
    """What of ``check_ports`` stands in the way, in order; all that one other network has as one problem."""
    bad = [check for check in checks if check.problem]
    told = set()
    for check in bad:
        if check.network is None:
            text = f"{check.problem}; {check.node.name} needs it ({check.use})"
            yield PortProblem(f"port {check.node.bound(check.use)}", text, check.remedy)
        elif check.network not in told:
            told.add(check.network)
            theirs = [one.node.ports[one.use] for one in bad if one.network == check.network]
            those = f"{min(theirs)} to {max(theirs)} ({len(theirs)} of them)"
            yield PortProblem(
                "ports",
                f"{those} are taken by the network in {check.network}",
                f"`edgeproof network down --root {check.network}` ends it; or {_elsewhere(layout, topology)}",
            )


def _elsewhere(layout: Layout, topology: Topology) -> str:
    """How to have other ports: a network keeps those that it was made with."""
    if layout.topology.exists():
        return "make another network in another folder, with another `first_port`: this one keeps its ports"
    known = named_topology(topology.name)
    source = f"copy {known}, change" if known.is_file() else "change"
    return f"{source} `first_port` in the topology and give that file: --topology FILE (make: TOPOLOGY=FILE)"


def port_is_free(address: str, port: int) -> bool:
    """Whether a process could listen there now.

    Raises:
        OSError: the address itself cannot be used on this host.
    """
    with socket.socket() as probe:
        # As servers do: connections of a former listener that fade away are not in the way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _listeners() -> dict[int, Path]:
    """The process, as its folder below /proc, that listens on each TCP port.

    Other users' processes show their sockets to the administrator alone.
    """
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    ports[f"socket:[{fields[9]}]"] = int(fields[1].rpartition(":")[2], 16)
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    port = ports.get(str(descriptor.readlink()))
                    if port is not None:
                        found[port] = process
    return found


def _program(process: Path) -> str:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip()
    return "a program"


def _network_of(process: Path) -> Path | None:
    """The folder of the network that a process is a node of."""
    with contextlib.suppress(OSError):
        said = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
        for match in _NODE.finditer(said):
            folder = Path(match[1].decode(errors="replace"))
            if (folder / "topology.yaml").is_file():
                return folder
    return None
