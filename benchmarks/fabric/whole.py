"""The whole system on the default topology: bring-up, the relay's lag, what the processes take."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.errors import MeasurementFailed
from benchmarks.fabric.network import default_topology
from benchmarks.gateway_load import free_port
from benchmarks.scale import Say, Scale
from chaincode.api import AcceptAnchor, Organisation, RegisterOrganisation
from edgeproof.deployment import Deployment
from edgeproof.fleet import service_specs
from edgeproof.wiring import Parts
from identity import Role
from ledger.port import Ledger
from network.files import write_text
from network.status import status
from network.supervisor import Supervisor
from network.topology_file import dump_topology
from protocol.anchors import AnchorStatement
from protocol.elements import views
from protocol.encodings import decode

__all__ = ["measure_bring_up", "measure_relay", "processes"]

_PATIENCE_S = 60.0
_COMMAND_S = 900.0
"""Bring-up takes a minute; its own limits end it long before."""


def measure_bring_up(folder: Path, scale: Scale, say: Say) -> dict[str, Any]:
    """``edgeproof network up`` and ``down`` of the default topology by the command line, start of Python and
    all; from nothing, and over what the last one left. ``up`` ends after a transaction on every chain.

    Returns:
        Medians of ``up_s``, ``down_s``, ``again_s`` (up over existing state), and ``up_max_s``.
    """
    times: dict[str, list[float]] = {"up": [], "down": [], "again": []}
    topology = folder.parent / f"{folder.name}.yaml"
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_text(topology, dump_topology(default_topology()))
    try:
        for repeat in range(scale.repeats):
            _network("down", folder)
            _network("clean", folder, "--yes")
            times["up"].append(_network("up", folder, "--topology", str(topology)))
            times["down"].append(_network("down", folder))
            times["again"].append(_network("up", folder))
            times["down"].append(_network("down", folder))
            say(
                f"bring-up {repeat + 1}/{scale.repeats}: {times['up'][-1]:.1f} s, again "
                f"{times['again'][-1]:.1f} s, down {times['down'][-1]:.1f} s"
            )
    finally:
        _network("down", folder)
    return {
        **{f"{name}_s": statistics.median(values) for name, values in times.items()},
        **{f"{name}_max_s": max(values) for name, values in times.items()},
        "processes": len(default_topology().nodes),
    }


def measure_relay(deployment: Deployment, scale: Scale, say: Say) -> dict[str, Any]:
    """How long after its commit on an edge a transaction is anchored on main, and main's anchor that carries
    it is held by another edge; on an otherwise idle system, by processes as in production.

    Returns:
        ``type2_s`` and ``type3_s`` (medians; both from the commit on), their ``…_max_s``, and ``memory``.
    """
    edges = deployment.plan.edges
    ports = {edge.chain: free_port() for edge in edges}
    lags: dict[str, list[float]] = {"type2": [], "type3": []}
    with Supervisor(deployment.state_path("logs")) as supervisor, Parts(deployment, "bench-lag") as parts:
        for spec in service_specs(deployment, ports):
            supervisor.start(spec)
        source, other = edges[0], edges[-1]
        admin = parts.ledger(source.chain, source.operator, Role.ADMIN)
        main, far = parts.readers[deployment.plan.main.chain], parts.readers[other.chain]
        say("relay: waiting for the first anchors")
        _follow(admin, main, far, source.chain, deployment)
        for repeat in range(scale.repeats):
            type2, type3 = _follow(admin, main, far, source.chain, deployment)
            lags["type2"].append(type2)
            lags["type3"].append(type3)
            say(f"relay {repeat + 1}/{scale.repeats}: on main {type2:.2f} s, on {other.chain} {type3:.2f} s")
        memory = processes(deployment.root)
        memory += [
            {"name": name, "kind": "service", "memory_mib": _resident_mib(pid)}
            for name in supervisor.names()
            if (pid := supervisor.pid(name)) is not None
        ]
        supervisor.check()
    return {
        **{f"{name}_s": statistics.median(values) for name, values in lags.items()},
        **{f"{name}_max_s": max(values) for name, values in lags.items()},
        "memory": memory,
    }


def processes(root: Path) -> list[dict[str, Any]]:
    """Resident memory of every process of a network."""
    return [
        {"name": one.name, "kind": one.kind, "memory_mib": one.memory_bytes / 2**20}
        for one in status(root)
        if one.pid is not None
    ]


def _follow(
    admin: Ledger, main: Ledger, far: Ledger, source: str, deployment: Deployment
) -> tuple[float, float]:
    """One transaction on its way: seconds from its commit to the Type-II, and to the Type-III elsewhere."""
    msp_id = deployment.plan.chain(source).operator
    starts = {ledger.chain: ledger.information().height for ledger in (main, far)}
    message = RegisterOrganisation(Organisation(msp_id, msp_id, deployment.owner_key(msp_id).spki))
    receipt = admin.submit(message)
    committed = time.monotonic()
    number = _accepted(
        main,
        starts[main.chain],
        lambda statement: statement.chain == source and statement.height > receipt.block,
    ).number
    type2 = time.monotonic() - committed
    _accepted(
        far,
        starts[far.chain],
        lambda statement: any(
            latest.chain == source and latest.number >= number for latest in statement.latest
        ),
    )
    return type2, time.monotonic() - committed


def _accepted(ledger: Ledger, start: int, fits: Callable[[AnchorStatement], bool]) -> AnchorStatement:
    """The first fitting statement that a chain accepts from block ``start`` on; waits for it."""
    end = time.monotonic() + _PATIENCE_S
    height = start
    while time.monotonic() < end:
        for block in ledger.blocks(height):
            height = block.header.number + 1
            for view in views(block):
                if view.code == 0 and view.function == AcceptAnchor.FUNCTION:
                    statement = decode(AcceptAnchor, view.argument).signed.statement
                    if fits(statement):
                        return statement
        ledger.wait(height, 1.0)
    raise MeasurementFailed(f"{ledger.chain} accepts no anchor within {_PATIENCE_S:.0f} s")


def _network(command: str, folder: Path, *options: str) -> float:
    """``edgeproof network …``; the seconds that it took."""
    started = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edgeproof", "network", command, "--root", str(folder), *options],
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stderr or b"").decode(errors="replace").strip()[-500:]
        raise MeasurementFailed(
            f"edgeproof network {command} did not end within {_COMMAND_S:.0f} s: {said}"
        ) from error
    if done.returncode:
        raise MeasurementFailed(f"edgeproof network {command}: {done.stderr.strip()[-500:]}")
    return time.perf_counter() - started


def _resident_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = [int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in (str(pid), *children)]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20
