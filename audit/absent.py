"""The commands ``audit absent`` (from live chains) and ``audit absence`` (a file, offline)."""

from __future__ import annotations

import dataclasses
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.errors import Check, ExitCode, Unusable
from audit.options import DeploymentOption, JsonOption, StateOption, TrustFile, TrustOption
from audit.ports import AuditedSystem, Opener
from audit.report import Outcome
from audit.running import finish, read_file, read_hex, root_hint, trust_of, with_system, write_file
from audit.state import remember
from audit.verifier import read_trust
from protocol import names

if TYPE_CHECKING:
    from protocol.absence import AbsenceProof
    from protocol.trust import TrustRoot

__all__ = ["add_absence"]

_WHAT = {
    "element": "element {subject}",
    "record": "record {subject}",
    "revocation": "revocation of device {subject}",
    "model": "model digest {subject}",
}


class _Kind(StrEnum):
    ELEMENT = "element"
    RECORD = "record"
    REVOCATION = "revocation"
    MODEL = "model"


def add_absence(app: typer.Typer, opener: Opener) -> None:
    """Add both commands."""

    @app.command()
    def absent(
        kind: Annotated[_Kind, typer.Argument(help="What is to be absent.")],
        chain: Annotated[str, typer.Argument(help="The chain that is asked.")],
        subject: Annotated[
            str, typer.Argument(help="Element digest, record id or model digest (64 hex digits), or device.")
        ],
        first: Annotated[int, typer.Option("--from", min=1, help="First anchor.")],
        last: Annotated[
            int | None, typer.Option("--to", min=1, help="Last anchor; the first if absent.")
        ] = None,
        out: Annotated[Path | None, typer.Option("--out", help="Also write the proof to a file.")] = None,
        trust: TrustOption = None,
        state: StateOption = None,
        as_json: JsonOption = False,
        deployment: DeploymentOption = None,
    ) -> None:
        """Show that a record, a revocation, a model or an element is not in the ranges of some anchors."""

        def work(system: AuditedSystem) -> Outcome:
            from protocol.absence import serialise_absence

            if last is not None and last < first:
                raise Unusable(Check.USAGE, f"anchor {last} comes before anchor {first}")
            _check_subject(kind, subject, several=last is not None and last != first)
            made = system.prover.absence(kind.value, chain, subject, first, first if last is None else last)
            outcome = _judge(made, trust_of(system, trust), state, root_hint(trust))
            if out is not None:
                write_file(out, serialise_absence(made))
            return outcome

        finish(lambda: with_system(opener, deployment, work), as_json)

    @app.command()
    def absence(
        file: Annotated[Path, typer.Argument(help="The absence proof.")],
        trust: TrustFile,
        state: StateOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """Verify an absence proof offline: this file and the trust root, nothing else."""

        def work() -> Outcome:
            from audit.absence import read_absence

            root = read_trust(read_file(trust, "trust root"))
            return _judge(read_absence(read_file(file, "absence proof")), root, state)

        finish(work, as_json)


def _check_subject(kind: _Kind, subject: str, *, several: bool) -> None:
    if kind is not _Kind.REVOCATION:
        read_hex(subject, f"{kind.value}'s digest")
    elif re.fullmatch(names.NAME, subject) is None:
        raise Unusable(Check.USAGE, "that is no device's name")
    if kind is _Kind.ELEMENT and several:
        raise Unusable(Check.USAGE, "an element's absence is shown for one anchor")


def _judge(proof: AbsenceProof, trust: TrustRoot, state: Path | None, hint: str = "") -> Outcome:
    from audit.absence import verify_absence

    facts = verify_absence(proof, trust)
    if state is not None:
        remember(state, trust, facts.statements)
    what = _WHAT[facts.kind].format(subject=facts.subject)
    anchors = f"anchor {facts.anchors[0]}"
    if facts.anchors[0] != facts.anchors[1]:
        anchors = f"anchors {facts.anchors[0]} to {facts.anchors[1]}"
    line = (
        f"{what} is not on {facts.chain} in {anchors}: elements {facts.elements[0]} to {facts.elements[1]}"
        f" (nothing is said of others, nor of what other chains hold of these anchors){hint}"
    )
    fields = {name: value for name, value in dataclasses.asdict(facts).items() if name != "statements"}
    return Outcome(ExitCode.VERIFIED, line, fields)
