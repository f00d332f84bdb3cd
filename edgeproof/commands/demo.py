"""``edgeproof demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that the demo makes.")] = Path(
        "build/demo"
    ),
    edges: Annotated[
        int | None, typer.Option(help="Edge sites, 2 to 8 (default 3); on Fabric the network's own.")
    ] = None,
    devices: Annotated[int, typer.Option(min=2, max=300, help="Devices, dealt out to the edges.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, max=200, help="Training rounds.")] = 10,
    ledger: Annotated[
        str, typer.Option(help="embedded, or fabric: the networks that `edgeproof network up` started.")
    ] = "embedded",
    network: Annotated[Path, typer.Option(help="With --ledger fabric: the network's folder.")] = Path(
        "build/network"
    ),
    modulus: Annotated[
        str,
        typer.Option(help="challenge (RSA-2048), ceremony (run one first: minutes) or a modulus.json."),
    ] = "challenge",
) -> None:
    """Run the whole system on real data, attack it, audit it, and write a report.

    Ctrl-C at any moment leaves a state from which the next call goes on; a finished demo starts anew.
    """
    if ledger not in ("embedded", "fabric"):
        raise typer.BadParameter(f"{ledger!r} is neither embedded nor fabric", param_hint="--ledger")
    if ledger == "fabric":
        edges = _edges_of(network, edges)
        if modulus != "challenge":
            raise typer.BadParameter("a network has its modulus already", param_hint="--modulus")
    edges = 3 if edges is None else edges
    if ledger == "embedded" and not 2 <= edges <= 8:
        raise typer.BadParameter(f"2 to 8, not {edges}", param_hint="--edges (EDGES=)")
    if devices < edges:
        raise typer.BadParameter("every edge needs a device", param_hint="--devices")
    if modulus not in ("challenge", "ceremony"):
        from edgeproof.ceremony.files import load_modulus

        load_modulus(Path(modulus))
        modulus = str(Path(modulus).resolve())
    from edgeproof.demo.state import DemoParameters, DemoState, alone_in

    try:
        with alone_in(out):
            # Not to standard output: that is for results. What comes next takes seconds to load.
            typer.echo(f"The demo in {out}; Ctrl-C stops it, the same command goes on", err=True)
            from rich.console import Console

            from edgeproof.demo.runner import Demo

            console = Console(highlight=False)
            folder = str(network) if ledger == "fabric" else ""
            state = DemoState.open(out, DemoParameters(edges, devices, rounds, ledger, modulus, folder))
            summary = Demo(state, console).run()
    except KeyboardInterrupt:
        typer.echo("\nStopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    missed = [attack["name"] for attack in summary["attacks"] if not attack["caught"]]
    if missed:
        console.print(f"[red]Not caught: {', '.join(missed)}[/]")
        raise typer.Exit(1)


def _edges_of(network: Path, asked: int | None) -> int:
    """How many edges a network has; its topology decides."""
    from edgeproof.deployment import Backend, Deployment

    if not Deployment.exists(network):
        raise typer.BadParameter(f"{network} holds no network; `make up` starts one", param_hint="--network")
    plan = Deployment(network).plan
    if plan.ledger is not Backend.FABRIC:
        raise typer.BadParameter(
            f"{network} holds a deployment on the embedded ledger, no network", param_hint="--network"
        )
    if asked not in (None, len(plan.edges)):
        raise typer.BadParameter(
            f"the topology of {network} sets it: {len(plan.edges)}, not {asked}",
            param_hint="--edges (EDGES=)",
        )
    return len(plan.edges)
