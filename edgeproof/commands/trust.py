"""``edgeproof trust``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Trust roots: what an auditor believes.")


@app.callback()
def _group() -> None:
    """Keeps `export` a subcommand."""


@app.command()
def export(
    output: Annotated[Path, typer.Argument(help="File to write, for example trust.json.")],
    deployment: Annotated[
        Path | None,
        typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write the trust root of a deployment: genesis, configuration, rosters, parameters, checkpoints.

    Hand it to auditors by a way that both sides trust: everything else is proved against it.
    """
    if output.is_dir():
        raise typer.BadParameter(f"{output} is a folder", param_hint="OUTPUT")
    if output.exists() and not force:
        raise typer.BadParameter(f"{output} is there already; --force replaces it", param_hint="OUTPUT")
    from edgeproof.deployment import Deployment
    from edgeproof.settings import Settings
    from edgeproof.trust import export_trust
    from edgeproof.wiring import Parts
    from protocol.trust import serialise_trust

    opened = Deployment(deployment or Settings.from_environment().deployment)
    with Parts(opened, "trust") as parts:
        root = export_trust(parts)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(output.name + ".new")
    temporary.write_bytes(serialise_trust(root))
    temporary.replace(output)
    for chain in root.chains:
        typer.echo(f"{chain.chain}: genesis {chain.genesis_hash.hex()}, checkpoint {chain.checkpoint.number}")
