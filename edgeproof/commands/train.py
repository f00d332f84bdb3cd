"""``edgeproof train``: create a training run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="Name of the run.")],
    model: Annotated[str, typer.Option(help="logistic, mlp or cnn.")] = "mlp",
    rounds: Annotated[int, typer.Option(min=1, help="Local updates an edge, and model versions.")] = 10,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data a round.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    hours: Annotated[float, typer.Option(min=0.01, help="After this, unfinished steps expire.")] = 24.0,
    deployment: Annotated[
        Path | None, typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT).")
    ] = None,
) -> None:
    """Create a training run over every edge of a deployment; its recipe is frozen with it.

    `edgeproof run --run NAME` (or `edgeproof serve peer` and `serve aggregator`) does the work.
    """
    from edgeproof.deployment import Deployment
    from edgeproof.settings import Settings
    from edgeproof.training_runs import start_run
    from edgeproof.wiring import Parts
    from training.errors import InvalidRecipe

    opened = Deployment(deployment or Settings.from_environment().deployment)
    with Parts(opened, "train") as parts:
        try:
            made = start_run(
                parts, run, model, rounds, epochs=epochs, seed=seed, deadline=int(time.time() + hours * 3600)
            )
        except InvalidRecipe as error:
            raise typer.BadParameter(str(error)) from error
    typer.echo(f"run {run}: {made.recipe.model}, {rounds} rounds, initial weights {made.initial.hex()}")
