"""What of a network runs, and how it is doing; told by records and keepers, never by guessing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from network.child import ProcessState
from network.control import Keeper
from network.errors import KeeperError, NetworkError
from network.layout import Layout
from network.processes import expected_nodes
from network.records import Record, Records
from network.topology import Node
from network.topology_file import load_topology

__all__ = ["ProcessStatus", "status"]


@dataclass(frozen=True)
class ProcessStatus:
    """One process that runs, or should."""

    name: str
    kind: str
    """``orderer``, ``peer``, ``chaincode``; ``keeper`` or ``supervisor`` for those that look after others;
    ``service`` for a gateway, relay and so on that was started by itself."""
    chain: str
    msp_id: str
    host: str
    address: str
    """``address:port`` of its service; empty where it has none."""
    state: str
    """``running``; ``unattended`` (it runs, but no keeper looks after it); ``restarting``; ``stopped`` (by
    request); ``down``."""
    pid: int | None
    memory_bytes: int
    """Resident."""
    uptime_s: float
    deaths: int
    """How often it ended unasked since its keeper started."""
    last_end: str

    @property
    def healthy(self) -> bool:
        """Whether nothing needs to be done about it."""
        return self.state == "running"


def status(root: Path, *, host: str | None = None) -> list[ProcessStatus]:
    """Every process of the network in ``root``: the topology's in its order, then whatever else is recorded.

    Where the folder belongs to one host of several (something is recorded for that host alone), the other
    hosts' processes are left out: nothing is known about them here.

    Raises:
        NetworkError: there is no network in ``root``.
        TopologyError: its topology cannot be read.
    """
    layout = Layout.of(root)
    records = Records(layout.run)
    found = {record.name: record for record in records.all()}
    if not layout.topology.is_file() and not found:
        raise NetworkError(f"{root} holds no network; `edgeproof network up --root {root}` makes one")
    nodes = {node.name: node for node in _nodes(layout)}
    hosts = {host} if host is not None else {record.host for record in found.values()}
    states = {state.name: state for name in hosts for state in _ask(layout.root, name)}
    keepers = {r.host for r in found.values() if r.kind == "keeper" and r.process.alive}
    names = [node.name for node in nodes.values() if not hosts or node.host in hosts]
    for name, record in found.items():
        # What ended unasked of another kind, or is no longer part of the topology, is of no interest.
        if name not in nodes and record.host in hosts and record.process.alive:
            names.append(name)
    return [_one(name, nodes.get(name), found.get(name), states.get(name), keepers) for name in names]


def _nodes(layout: Layout) -> tuple[Node, ...]:
    return expected_nodes(layout, load_topology(layout.topology)) if layout.topology.is_file() else ()


def _ask(root: Path, host: str) -> list[ProcessState]:
    try:
        return Keeper(root, host).states()
    except KeeperError:
        return []


def _one(
    name: str, node: Node | None, record: Record | None, state: ProcessState | None, keepers: set[str]
) -> ProcessStatus:
    process = record.process if record is not None and record.process.alive else None
    if process is not None:
        attended = record is not None and (record.kind != "node" or record.host in keepers)
        said = "running" if attended else "unattended"
    else:
        said = state.state if state is not None and state.state != "running" else "down"
    kind = record.kind if record is not None and record.kind != "node" else _kind(name)
    return ProcessStatus(
        name=name,
        kind=node.kind if node is not None else kind,
        chain=node.chain if node is not None else name.partition(".")[0] if kind in _KINDS else "",
        msp_id=node.msp_id if node is not None else "",
        host=node.host if node is not None else record.host if record is not None else "",
        address=node.endpoint if node is not None else "",
        state=said,
        pid=process.pid if process is not None else None,
        memory_bytes=process.memory_bytes() if process is not None else 0,
        uptime_s=process.uptime_s() if process is not None else 0.0,
        deaths=state.deaths if state is not None else 0,
        last_end=state.last_end if state is not None else "",
    )


_KINDS = ("orderer", "peer", "chaincode")


def _kind(name: str) -> str:
    """The kind of a process that is not (or no longer) in the topology, by its name's second word."""
    words = name.split(".")
    return words[1] if len(words) > 2 and words[1] in _KINDS else "process"
