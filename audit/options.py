"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AgeOption",
    "ContentsOption",
    "DeploymentOption",
    "FullOption",
    "HolderOption",
    "JsonOption",
    "OutFile",
    "StateOption",
    "TrustFile",
    "TrustOption",
]

TrustFile = Annotated[Path, typer.Option("--trust", help="Trust root (trust.json).")]
TrustOption = Annotated[
    Path | None, typer.Option("--trust", help="Trust root; the deployment's own when not given.")
]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="File that remembers what was seen; refuses rollback and conflicts."),
]
AgeOption = Annotated[
    int | None, typer.Option("--max-age", min=0, help="Refuse evidence anchored longer ago, in seconds.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DeploymentOption = Annotated[
    Path | None,
    typer.Option(
        "--deployment", help="Deployment folder (default: EDGEPROOF_DEPLOYMENT or build/deployment)."
    ),
]
HolderOption = Annotated[
    str | None,
    typer.Option(
        "--holder",
        help="Edge whose block shall show that main's anchors are held; none whose own evidence it is.",
    ),
]
FullOption = Annotated[bool, typer.Option("--full", help="With blocks, envelopes, endorsements.")]
OutFile = Annotated[Path, typer.Argument(help="File to write.")]
ContentsOption = Annotated[bool, typer.Option("--contents", help="Also read every record's bytes.")]
