"""What the modules of ``edgeproof network …`` share: options, progress, tables."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from network.status import ProcessStatus
    from network.topology import Topology

__all__ = [
    "BESIDE",
    "EXIT_CODES",
    "ROOT",
    "HostOption",
    "ModulusOption",
    "RootOption",
    "TopologyOption",
    "adopt",
    "choose_topology",
    "keep_modulus",
    "look",
    "print_table",
    "progress_lines",
    "stoppable",
]

ROOT: Final = Path("build/network")
BESIDE: Final = ("keeper", "supervisor", "service")
"""Kinds of processes that are not the network's own."""
EXIT_CODES: Final = "Exit codes: 0 done; 1 failed, and one line says why and what to do; 2 wrong usage."
RootOption = Annotated[Path, typer.Option(help="Folder of the network; it is a deployment's folder too.")]
TopologyOption = Annotated[
    str,
    typer.Option(help="A topology file, or `default` or `dev` (default: the network's own, else `default`)."),
]
HostOption = Annotated[str, typer.Option(help="The host of the topology that this machine is.")]
ModulusOption = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A ceremony's modulus.json, for a new network."),
]


def choose_topology(root: Path, chosen: str) -> Topology:
    """The topology that an option names; without one the network's own, else the default.

    Raises:
        TopologyError: there is none of that name, or it cannot be read.
    """
    from network.errors import TopologyError
    from network.topology_file import load_topology, named_topology

    own = root / "topology.yaml"
    if not chosen:
        return load_topology(own if own.is_file() else named_topology("default"))
    if Path(chosen).is_file():
        return load_topology(Path(chosen))
    if not named_topology(chosen).is_file():
        raise TopologyError(
            f"{chosen}: no such file, and no topology that comes with edgeproof (default, dev)"
        )
    return load_topology(named_topology(chosen))


def adopt(root: Path, topology: Topology, progress: Callable[[str], None]) -> None:
    """Make a deployment of the network: from here on every other command takes the folder."""
    from edgeproof.deployment import Deployment, Plan
    from edgeproof.setup import adopt_network

    if len(topology.hosts) > 1:
        # Other hosts' chains may not be up yet, and their administrators' keys are not here: each host's
        # own chains were told all they must know when they were probed.
        Deployment.adopt(root, Plan.of_network(topology)).finish()
    else:
        progress("Registering organisations and chains")
        adopt_network(root)


def keep_modulus(root: Path, topology: Topology, modulus: Path) -> None:
    """Before anything is registered: chains never change their modulus."""
    from edgeproof.deployment import Deployment, Plan
    from edgeproof.errors import DeploymentError
    from network.layout import Layout

    Layout.of(root).check_vacant()

    if (root / "topology.yaml").exists():
        raise DeploymentError(f"the chains of {root} have their modulus already")
    Deployment.adopt(root, Plan.of_network(topology)).keep_modulus(modulus)


def progress_lines() -> Callable[[str], None]:
    """Prints lines with the seconds since this call."""
    begun = time.monotonic()

    def tell(line: str) -> None:
        # Not to standard output: that is for results.
        print(f"{time.monotonic() - begun:6.1f} s  {line}", file=sys.stderr, flush=True)

    return tell


@contextlib.contextmanager
def stoppable(root: Path, progress: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C ends what is done here at once, with a line about what holds then."""
    try:
        yield
    except KeyboardInterrupt:
        progress(
            "Stopped. What has started goes on running; the same command goes on from here, "
            f"`edgeproof network down --root {root}` ends what runs"
        )
        # Threads that still wait for a chain would hold this process's end up, for a minute or more; whatever
        # they are killed in is gone on with.
        os._exit(130)


def look(root: Path, host: str) -> list[ProcessStatus]:
    """Every process of the network (of one host)."""
    from network.status import status

    return status(root, host=host or None)


def print_table(found: list[ProcessStatus]) -> None:
    """What runs where, and how it is doing."""
    rows = [("CHAIN", "PROCESS", "KIND", "ADDRESS", "STATE", "PID", "MEMORY", "UPTIME")]
    for process in found:
        state = process.state
        if process.deaths:
            state += f" ({process.deaths} unasked ends, last {process.last_end})"
        rows.append(
            (
                process.chain,
                process.name,
                process.kind,
                process.address,
                state,
                str(process.pid or ""),
                f"{process.memory_bytes / 2**20:.0f} MiB" if process.pid else "",
                _duration(process.uptime_s) if process.pid else "",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    # The network's own; who looks after them, and after gateways and the like, is told apart.
    own = [process for process in found if process.kind not in BESIDE]
    others = "".join(f", {process.name}" for process in found if process not in own)
    memory = sum(process.memory_bytes for process in found) / 2**20
    typer.echo(
        f"{sum(process.pid is not None for process in own)} of {len(own)} processes run"
        f"{'; beside them' + others[1:] if others else ''}; {memory:.0f} MiB resident together"
    )


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"
