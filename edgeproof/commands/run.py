"""``edgeproof run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeproof.settings import Settings

app = typer.Typer(add_completion=False)


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
    from edgeproof.deployment import Deployment
    from edgeproof.fleet import service_specs, training_specs
    from edgeproof.processes import stop_on_signals
    from edgeproof.supervisor import Supervisor

    opened = Deployment(deployment or Settings.from_environment().deployment)
    ports = {edge.chain: port + number for number, edge in enumerate(opened.plan.edges)}
    stop = stop_on_signals()
    with Supervisor(opened.state_path("logs")) as supervisor:
        for spec in service_specs(opened, ports):
            supervisor.start(spec)
        if training:
            for spec in training_specs(opened, training):
                supervisor.start(spec)
        for edge, number in ports.items():
            typer.echo(f"{edge}: http://127.0.0.1:{number}  (OpenAPI at /openapi.json)")
        typer.echo(f"Logs in {opened.state_path('logs')}. Ctrl-C ends everything.")
        while not stop.wait(1.0):
            supervisor.check()
    typer.echo("Ended.")
