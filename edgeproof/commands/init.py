"""``edgeproof init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeproof.settings import Settings

app = typer.Typer(add_completion=False)


@app.command()
def init(
    deployment: Annotated[
        Path | None, typer.Option(help="Folder to make (default: EDGEPROOF_DEPLOYMENT or build/deployment).")
    ] = None,
    edges: Annotated[int, typer.Option(min=1, max=26, help="Number of edge sites.")] = 3,
    modulus: Annotated[
        Path | None,
        typer.Option(help="A ceremony's modulus.json for all chains (default: the RSA-2048 challenge)."),
    ] = None,
) -> None:
    """Make a deployment on the embedded ledger: identities, chains, stores, rosters.

    A cloud with two organisations and, for each edge, three. Private keys are readable by their owner alone.
    """
    folder = deployment or Settings.from_environment().deployment
    typer.echo(f"Making a deployment in {folder}", err=True)  # before what takes seconds to load
    from edgeproof.deployment import Plan
    from edgeproof.setup import make_deployment

    made = make_deployment(folder, Plan.standard(edges), modulus)
    for chain in made.plan.chains:
        typer.echo(f"{chain.chain}: {', '.join(chain.organisations)}")
    typer.echo(f"Made in {folder}. `edgeproof run --deployment {folder}` starts it.")
