"""``edgeproof check``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgeproof.deployment import Deployment

app = typer.Typer(add_completion=False)


@app.command()
def check(
    deployment: Annotated[
        Path | None,
        typer.Option(help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."),
    ] = None,
) -> None:
    """Walk every block of every chain and every object of every store; exit 1 if anything is damaged.

    On Fabric the blocks are those in the files of every peer of this host, which may be running. This looks
    for damage to the files; whether the chains agree about each other is for `audit anchors`.
    """
    from edgeproof.deployment import Backend, Deployment
    from edgeproof.settings import Settings
    from ledger.errors import LedgerError
    from store import FileStore, StoreError

    opened = Deployment(deployment or Settings.from_environment().deployment)
    damaged = False
    for name, walk in (_on_fabric if opened.plan.ledger is Backend.FABRIC else _embedded)(opened):
        try:
            typer.echo(f"{name}: {walk()} blocks hold")
        except LedgerError as error:
            damaged = True
            typer.echo(f"{name}: {error}", err=True)
    for chain in opened.plan.chains:
        folder = opened.store_path(chain.chain)
        if not folder.is_dir():  # opened, it would be made
            damaged = True
            typer.echo(f"store of {chain.chain}: {folder} is not there", err=True)
            continue
        try:
            report = FileStore(folder).verify()
        except StoreError as error:
            damaged = True
            typer.echo(f"store of {chain.chain}: {error}", err=True)
            continue
        typer.echo(f"store of {chain.chain}: {report.objects} objects, {report.size} bytes")
        for damage in report.damaged:
            damaged = True
            typer.echo(f"store of {chain.chain}: {damage.file}: {damage.reason}", err=True)
    raise typer.Exit(1 if damaged else 0)


_Walks = Iterator[tuple[str, Callable[[], int]]]
"""What is walked, and what walks it: the count of its blocks, or a ``LedgerError``."""


def _embedded(opened: Deployment) -> _Walks:
    from ledger.embedded import EmbeddedLedger

    def walk(path: Path) -> int:
        with closing(EmbeddedLedger(path)) as ledger:
            ledger.verify()
            return ledger.information().height

    for chain in opened.plan.chains:
        yield chain.chain, partial(walk, opened.ledger_path(chain.chain))


def _on_fabric(opened: Deployment) -> _Walks:
    from edgeproof.peer_files import block_folder, walk_block_files
    from network import Network

    network = Network(opened.root)
    for peer in network.topology.select(kind="peer"):
        folder = block_folder(network, peer)
        if folder.exists():  # else another host's
            yield peer.name, partial(walk_block_files, folder)
