"""``edgeproof serve …``: one long-running process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgeproof.deployment import Deployment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Run one process of a deployment until SIGTERM or Ctrl-C. `edgeproof run` starts them all.",
)

DeploymentOption = Annotated[
    Path | None,
    typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
]
ParentOption = Annotated[
    bool, typer.Option("--with-parent", help="End when standard input closes (set by a supervisor).")
]
OrganisationOption = Annotated[str, typer.Option(help="MSP id of the organisation.")]
EdgeOption = Annotated[str, typer.Option(help="Chain id of the edge.")]
RunOption = Annotated[str, typer.Option(help="Name of the training run.")]


@app.command()
def gateway(
    edge: EdgeOption,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8440,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file, for TLS; needs --key.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file of the certificate's key.")
    ] = None,
    deployment: DeploymentOption = None,
    with_parent: ParentOption = False,
) -> None:
    """The REST service of one edge: takes readings, records them, hands out proofs."""
    from edgeproof import processes

    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key go together")
    tls = [None if path is None else str(path) for path in (certificate, key)]
    with _opened(deployment, with_parent, f"gateway.{edge}") as opened:
        processes.run_gateway(opened, edge, host, port, *tls)


@app.command()
def signer(
    chain: Annotated[str, typer.Option(help="Chain id.")],
    organisation: OrganisationOption,
    deployment: DeploymentOption = None,
    with_parent: ParentOption = False,
) -> None:
    """The anchor signer of one organisation: recomputes and signs its chain's anchors."""
    from edgeproof import processes

    with _opened(deployment, with_parent, f"signer.{chain}.{organisation}") as opened:
        processes.run_signer(opened, chain, organisation)


@app.command()
def relay(
    deployment: DeploymentOption = None,
    with_parent: ParentOption = False,
    max_news: Annotated[int, typer.Option(min=1, help="Anchor when this many elements wait.")] = 64,
    max_age: Annotated[float, typer.Option(min=0.0, help="Anchor when news is older, seconds.")] = 0.5,
) -> None:
    """The relay: carries anchors between main and every edge."""
    from edgeproof import processes

    with _opened(deployment, with_parent, "relay") as opened:
        processes.run_relay(opened, max_news, max_age)


@app.command()
def peer(
    edge: EdgeOption,
    organisation: OrganisationOption,
    run: RunOption,
    deployment: DeploymentOption = None,
    with_parent: ParentOption = False,
) -> None:
    """The training peer of one organisation on one edge: trains its steps, attests the others'."""
    from edgeproof import processes

    with _opened(deployment, with_parent, f"peer.{edge}.{organisation}.{run}") as opened:
        processes.run_peer(opened, edge, organisation, run)


@app.command()
def aggregator(
    organisation: OrganisationOption,
    run: RunOption,
    deployment: DeploymentOption = None,
    with_parent: ParentOption = False,
) -> None:
    """The aggregator of one of main's organisations: averages, attests, pushes models down."""
    from edgeproof import processes

    with _opened(deployment, with_parent, f"aggregator.{organisation}.{run}") as opened:
        processes.run_aggregator(opened, organisation, run)


@contextmanager
def _opened(folder: Path | None, with_parent: bool, what: str) -> Iterator[Deployment]:
    """The deployment; where no supervisor started this process, it is entered among those over it."""
    from edgeproof.deployment import Deployment
    from edgeproof.processes import stop_with_parent
    from edgeproof.settings import Settings

    if with_parent:
        stop_with_parent()
    deployment = Deployment(folder or Settings.from_environment().deployment)
    if with_parent:
        yield deployment
        return
    from network.records import entered

    with entered(deployment.root / "run", f"{what}.{os.getpid()}".replace("/", "-"), sys.argv):
        yield deployment
