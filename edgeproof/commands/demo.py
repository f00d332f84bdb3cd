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
    edges: Annotated[int, typer.Option(min=2, max=8, help="Edge sites.")] = 3,
    devices: Annotated[int, typer.Option(min=2, max=300, help="Devices, dealt out to the edges.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, max=200, help="Training rounds.")] = 10,
    ledger: Annotated[
        str, typer.Option(help="Kind of all chains; embedded is the only one so far.")
    ] = "embedded",
    modulus: Annotated[
        str,
        typer.Option(help="challenge (RSA-2048), ceremony (run one first: minutes) or a modulus.json."),
    ] = "challenge",
) -> None:
    """Run the whole system on real data, attack it, audit it, and write a report.

    Ctrl-C at any moment leaves a state from which the next call goes on; a finished demo starts anew.
    """
    from rich.console import Console

    from edgeproof.demo.runner import Demo
    from edgeproof.demo.state import DemoParameters, DemoState, alone_in

    if ledger != "embedded":
        raise typer.BadParameter(
            f"{ledger!r}: the demo runs on the embedded ledger; real Fabric networks are not supported yet",
            param_hint="--ledger",
        )
    if devices < edges:
        raise typer.BadParameter("every edge needs a device", param_hint="--devices")
    if modulus not in ("challenge", "ceremony"):
        from edgeproof.ceremony.files import load_modulus

        load_modulus(Path(modulus))
        modulus = str(Path(modulus).resolve())
    console = Console(highlight=False)
    try:
        with alone_in(out):
            state = DemoState.open(out, DemoParameters(edges, devices, rounds, ledger, modulus))
            summary = Demo(state, console).run()
    except KeyboardInterrupt:
        console.print("\nStopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    missed = [attack["name"] for attack in summary["attacks"] if not attack["caught"]]
    if missed:
        console.print(f"[red]Not caught: {', '.join(missed)}[/]")
        raise typer.Exit(1)
