"""``edgeproof train``: create a training run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chaincode.api import Run
    from edgeproof.wiring import Parts

app = typer.Typer(add_completion=False)


@app.command()
def train(
    run: Annotated[str, typer.Argument(help="Name of the run.")],
    model: Annotated[str, typer.Option(help="logistic, mlp or cnn.")] = "mlp",
    rounds: Annotated[int, typer.Option(min=1, help="Local updates an edge, and model versions.")] = 10,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data a round.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the initial weights and of every shuffle.")] = 1,
    hours: Annotated[float, typer.Option(min=0.01, help="After this, unfinished steps expire.")] = 24.0,
    follow: Annotated[bool, typer.Option("--follow", help="Show progress until the last round.")] = False,
    deployment: Annotated[
        Path | None,
        typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
    ] = None,
) -> None:
    """Create a training run over every edge of a deployment; its recipe is frozen with it.

    `edgeproof run --run NAME` (or `edgeproof serve peer` and `serve aggregator`) does the work. A run of that
    name is left as it is, so that `--follow` shows how far it has come.
    """
    from edgeproof.deployment import Deployment
    from edgeproof.settings import Settings
    from edgeproof.training_runs import find_run, start_run
    from edgeproof.wiring import Parts
    from training.errors import InvalidRecipe

    opened = Deployment(deployment or Settings.from_environment().deployment)
    with Parts(opened, "train") as parts:
        known = find_run(parts, run) is not None
        try:
            made = start_run(
                parts, run, model, rounds, epochs=epochs, seed=seed, deadline=int(time.time() + hours * 3600)
            )
        except InvalidRecipe as error:
            raise typer.BadParameter(str(error)) from error
        note = " (was there already and stays as it is)" if known else ""
        typer.echo(
            f"run {run}: {made.recipe.model}, {made.rounds} rounds, "
            f"initial weights {made.initial.hex()}{note}"
        )
        if follow:
            _follow(parts, made)


def _follow(parts: Parts, run: Run) -> None:
    """Show accepted steps and versions until the run is finished; Ctrl-C ends the watching, not the run."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from edgeproof.training_runs import accepted_steps, accepted_versions

    edges = [edge.chain for edge in parts.deployment.plan.edges]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console()) as progress:
        steps = {edge: progress.add_task(f"steps on {edge}", total=run.rounds) for edge in edges}
        versions = progress.add_task("model versions", total=run.rounds)
        done = 0
        while True:
            for edge, task in steps.items():
                progress.update(task, completed=accepted_steps(parts, run, edge, start=done))
            done = accepted_versions(parts, run, start=done)
            progress.update(versions, completed=done)
            if done == run.rounds:
                return
            time.sleep(0.5)
