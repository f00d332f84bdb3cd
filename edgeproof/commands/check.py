"""``edgeproof check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def check(
    deployment: Annotated[
        Path | None,
        typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
    ] = None,
) -> None:
    """Walk every block of every chain and every object of every store; exit 1 if anything is damaged.

    This looks for damage to the files; whether the chains agree about each other is for `audit anchors`.
    """
    from edgeproof.deployment import Deployment
    from edgeproof.settings import Settings
    from ledger.embedded import EmbeddedLedger
    from ledger.errors import LedgerError
    from store import FileStore, StoreError

    opened = Deployment(deployment or Settings.from_environment().deployment)
    damaged = False
    for chain in opened.plan.chains:
        try:
            ledger = EmbeddedLedger(opened.ledger_path(chain.chain))
            try:
                ledger.verify()
                typer.echo(f"{chain.chain}: {ledger.information().height} blocks hold")
            finally:
                ledger.close()
        except LedgerError as error:
            damaged = True
            typer.echo(f"{chain.chain}: {error}", err=True)
        try:
            report = FileStore(opened.store_path(chain.chain)).verify()
        except StoreError as error:
            damaged = True
            typer.echo(f"store of {chain.chain}: {error}", err=True)
            continue
        typer.echo(f"store of {chain.chain}: {report.objects} objects, {report.size} bytes")
        for damage in report.damaged:
            damaged = True
            typer.echo(f"store of {chain.chain}: {damage.file}: {damage.reason}", err=True)
    raise typer.Exit(1 if damaged else 0)
