"""``edgeproof run``."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeproof.settings import Settings

if TYPE_CHECKING:
    from edgeproof.deployment import Deployment

app = typer.Typer(add_completion=False)
_AGAIN_S = 10.0


@app.command()
def run(
    deployment: Annotated[
        Path | None,
        typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65500, help="The first edge's gateway; the others follow.")
    ] = 8440,
    training: Annotated[str, typer.Option("--run", help="Also start the training peers of this run.")] = "",
) -> None:
    """Start every process of a deployment on this machine and keep them running until Ctrl-C."""
    folder = deployment or Settings.from_environment().deployment
    typer.echo(f"Opening {folder}", err=True)  # before what takes seconds to load
    from edgeproof.deployment import Deployment
    from edgeproof.fleet import service_specs, training_specs
    from edgeproof.processes import stop_on_signals
    from network.records import register
    from network.supervisor import Supervisor

    opened = Deployment(folder)
    ports = {edge.chain: port + number for number, edge in enumerate(opened.plan.edges)}
    missing = bool(training) and not _knows(opened, training)
    stop = stop_on_signals()
    with (
        register(opened.root / "run", "services", sys.argv),
        Supervisor(opened.state_path("logs")) as supervisor,
    ):
        _check_free(ports)
        for address in _silent_peers(opened):
            typer.echo(f"The peer at {address} does not answer; `edgeproof network up` starts the network.")
        for spec in service_specs(opened, ports):
            supervisor.start(spec)
        if training:
            for spec in training_specs(opened, training):
                supervisor.start(spec)
        typer.echo(f"Starting; logs in {opened.state_path('logs')}. Ctrl-C ends everything.")
        if missing:
            typer.echo(_no_run(opened, training))
            threading.Thread(target=_look_again, args=(opened, training, stop), daemon=True).start()
        silent = dict(ports)
        while not stop.wait(0.2 if silent else 1.0):
            supervisor.check()
            # An edge that was added meanwhile; the relay takes it up by itself.
            opened = _as_planned(opened)
            for edge in opened.plan.edges:
                if edge.chain not in ports:
                    silent[edge.chain] = ports[edge.chain] = max(ports.values()) + 1
            known = set(supervisor.names())
            for spec in service_specs(opened, ports):
                if spec.name not in known:
                    supervisor.start(spec)
            for name in [name for name, number in silent.items() if _listens(number)]:
                typer.echo(f"{name}: http://127.0.0.1:{silent.pop(name)}  (OpenAPI at /openapi.json)")
        typer.echo("Ending every process.")
    typer.echo("Ended.")


def _knows(opened: Deployment, training: str) -> bool:
    """Whether main knows a training run of that name."""
    from edgeproof.training_runs import find_run
    from edgeproof.wiring import Parts

    with Parts(opened, "run") as parts:
        return find_run(parts, training) is not None


def _no_run(opened: Deployment, training: str) -> str:
    return (
        f"Main knows no run {training!r}: if the name is right, its peers wait until "
        f"`edgeproof train {training} --deployment {opened.root}` creates it."
    )


def _look_again(opened: Deployment, training: str, stop: threading.Event) -> None:
    """A name that is wrong would be waited for for ever: say so once more, after everything else."""
    from ledger.errors import LedgerError

    if not stop.wait(_AGAIN_S):
        with contextlib.suppress(LedgerError):  # main does not answer just now
            if not _knows(opened, training):
                typer.echo(_no_run(opened, training))


def _as_planned(opened: Deployment) -> Deployment:
    """The deployment as its plan says now."""
    from edgeproof.deployment import Deployment
    from edgeproof.errors import DeploymentError

    try:
        return Deployment(opened.root)
    except DeploymentError:  # its file is being replaced
        return opened


def _check_free(ports: Mapping[str, int]) -> None:
    """Refuse to start gateways where others listen: only their logs would tell why none answers."""
    from network.errors import ProcessFailed

    for edge, number in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", number))
            except OSError as error:
                raise ProcessFailed(
                    f"port {number}, for the gateway of {edge}, cannot be used ({error.strerror}); "
                    "--port chooses others"
                ) from error


def _silent_peers(opened: Deployment) -> list[str]:
    """Addresses of the operators' peers where nobody listens; the processes wait for them all the same."""
    from edgeproof.deployment import Backend
    from network import Network

    if opened.plan.ledger is not Backend.FABRIC:
        return []
    network = Network(opened.root)
    addresses = [network.peer(chain.chain, chain.operator).address for chain in opened.plan.chains]
    return [
        address
        for address in addresses
        if not _listens(int(address.rpartition(":")[2]), address.rpartition(":")[0])
    ]


def _listens(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False
