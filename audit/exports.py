"""``bundle export``: writing proof bundles that strangers verify."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.errors import ExitCode
from audit.options import DeploymentOption, FullOption, HolderOption, OutFile
from audit.ports import AuditedSystem, Opener
from audit.report import Outcome
from audit.running import finish, profile_of, read_hex, with_system, write_file

if TYPE_CHECKING:
    from protocol.bundle import Bundle

__all__ = ["add_exports"]


def add_exports(app: typer.Typer, opener: Opener) -> None:
    """Add ``record``, ``model`` and ``round`` to a group of commands that write bundles."""

    def export(deployment: Path | None, file: Path, make: Callable[[AuditedSystem], Bundle]) -> None:
        def work(system: AuditedSystem) -> Outcome:
            from protocol.bundle import serialise_bundle

            raw = serialise_bundle(make(system))
            write_file(file, raw)
            fields = {"file": str(file), "bytes": len(raw)}
            line = f"wrote {file}, {len(raw)} bytes; `audit bundle` verifies it"
            return Outcome(ExitCode.VERIFIED, line, fields, judged=False)

        finish(lambda: with_system(opener, deployment, work), as_json=False)

    @app.command()
    def record(
        chain: Annotated[str, typer.Argument(help="The edge that recorded it.")],
        record_id: Annotated[str, typer.Argument(metavar="RECORD", help="Record id, 64 hex digits.")],
        file: OutFile,
        holder: HolderOption = None,
        full: FullOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """One record."""
        export(
            deployment,
            file,
            lambda system: system.prover.record_bundle(
                chain, read_hex(record_id, "record id"), holder, profile_of(full)
            ),
        )

    @app.command()
    def model(
        run: Annotated[str, typer.Argument(help="The run.")],
        version: Annotated[int, typer.Argument(min=1, help="The model version.")],
        file: OutFile,
        holder: HolderOption = None,
        full: FullOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """A model version with its whole lineage."""
        export(
            deployment,
            file,
            lambda system: system.prover.model_bundle(run, version, holder=holder, profile=profile_of(full)),
        )

    @app.command("round")
    def round_(
        run: Annotated[str, typer.Argument(help="The run.")],
        number: Annotated[int, typer.Argument(min=1, help="The round.")],
        file: OutFile,
        holder: HolderOption = None,
        full: FullOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """One round."""
        export(
            deployment,
            file,
            lambda system: system.prover.round_bundle(run, number, holder=holder, profile=profile_of(full)),
        )
