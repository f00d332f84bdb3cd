"""Which ports are taken, and by whom as far as the kernel tells."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from network.layout import Layout
from network.processes import expected_nodes
from network.records import Records
from network.topology import Node, Topology

__all__ = ["PortCheck", "check_ports", "listener_of", "port_is_free"]

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


@dataclass(frozen=True)
class PortCheck:
    """One port that a process needs and does not have yet."""

    node: Node
    use: str
    """Which of the process's services."""
    problem: str = ""
    """Why it cannot listen there; empty where it can."""
    remedy: str = ""


def check_ports(layout: Layout, topology: Topology, host: str | None = None) -> Iterator[PortCheck]:
    """Every port of the processes that should run (on one host) and do not, tried where each will listen."""
    running = {record.name for record in Records(layout.run).living("node")}
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
            who = listener_of(port) or "a process of another user, or in another namespace"
            remedy = "end that process, or choose another `first_port` in the topology"
            yield PortCheck(node, use, f"is taken by {who}", remedy)


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


def listener_of(port: int) -> str | None:
    """``program (process N)`` that listens on a TCP port; None where that cannot be told.

    Other users' processes show their sockets to the administrator alone.
    """
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None
