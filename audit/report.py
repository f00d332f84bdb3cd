"""Speaking to people and to scripts: one line that says why, or the same as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from audit.errors import AuditError, Check, Conflict, ExitCode
from audit.lineage import LineageFacts
from audit.records import RecordFacts
from audit.spotcheck import SpotCheck, Verdict
from audit.verifier import Verified
from protocol.anchors import SignedStatement
from protocol.encodings import to_json

__all__ = ["Outcome", "describe", "failed", "internal", "spot_checked", "verified"]

_VERDICTS = {
    ExitCode.VERIFIED: "verified",
    ExitCode.INVALID: "invalid",
    ExitCode.USAGE: "unusable",
    ExitCode.UNVERIFIABLE: "unverifiable",
    ExitCode.UNTRUSTED: "untrusted",
    ExitCode.INCONCLUSIVE: "inconclusive",
}
_SHOWN = 320  # characters of a foreign text that are repeated on a terminal


@dataclass(frozen=True)
class Outcome:
    """What a command ends with."""

    exit_code: ExitCode
    line: str
    fields: dict[str, Any]
    evidence: tuple[SignedStatement, ...] = ()
    """Conflicting statements, shown with their signatures."""
    judged: bool = True
    """Whether the line tells of a verdict, and not of something else that was done."""

    def json(self) -> str:
        """One JSON object: verdict, exit_code, and the fields of the verdict."""
        value = {
            "verdict": _VERDICTS[self.exit_code],
            "exit_code": int(self.exit_code),
            "line": self.line,
            **self.fields,
        }
        if self.evidence:
            value["evidence"] = [
                {"digest": one.statement.digest().hex(), "signed": to_json(one)} for one in self.evidence
            ]
        return json.dumps(value, indent=2, sort_keys=True)

    def text(self) -> str:
        """The verdict, where there is one, the line, and the evidence: each statement with who signed it."""
        lines = [f"{_VERDICTS[self.exit_code]}: {self.line}" if self.judged else self.line]
        for one in self.evidence:
            statement = one.statement
            lines.append(
                f"  {statement.chain} anchor {statement.number}: digest {statement.digest().hex()},"
                f" elements {statement.first} to {statement.last}, height {statement.height}"
            )
            lines += [f"    signed by {_safe(s.msp_id)}: {s.signature.hex()}" for s in one.signatures]
            if not one.signatures:
                lines.append("    unsigned: recomputed from the chain's own blocks")
        return "\n".join(lines)


def verified(result: Verified, hint: str = "") -> Outcome:
    """A bundle that holds."""
    as_of = _time(result.as_of)
    fields = {
        "kind": result.kind,
        "profile": result.profile,
        "chain": result.chain,
        "subject": result.subject,
        "facts": dataclasses.asdict(result.facts),
        "as_of": as_of,
    }
    return Outcome(ExitCode.VERIFIED, f"{describe(result)}; as of {as_of}{hint}", fields)


def describe(result: Verified) -> str:
    """One line about what was proved."""
    facts = result.facts
    if isinstance(facts, RecordFacts):
        return (
            f"record {facts.record[:16]}… of device {facts.device} (owner {facts.owner}) on {facts.chain},"
            f" signed by the {facts.signed_by}, claimed time {_time(facts.created)}"
        )
    assert isinstance(facts, LineageFacts)
    what, rounds = (
        ("version", f"{_some(facts.rounds, 'round')}, ") if result.kind == "model" else ("round", "")
    )
    return (
        f"{what} {facts.version} of run {facts.run}: {rounds}{_some(facts.steps, 'step')},"
        f" {_some(facts.records, 'record')}, weights {facts.result[:16]}…,"
        f" agreed by {len(facts.organisations)} organisations"
    )


def _some(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def spot_checked(check: SpotCheck, false_steps: int, *, proven: bool) -> Outcome:
    """A spot check: verified when no drawn step failed; the odds are the exact ones.

    Args:
        check: what was drawn and recomputed.
        false_steps: number of false steps that the odds are stated for; at most the population counts.
        proven: whether the steps were proved under a trust root before one was drawn.
    """
    assumed = min(false_steps, check.population)
    odds = check.confidence(assumed)
    drawn = [
        {
            "chain": one.chain,
            "step": one.number,
            "attempt": one.attempt,
            "verdict": one.verdict.value,
            "recorded": one.recorded.hex(),
            "recomputed": one.recomputed.hex(),
        }
        for one in check.drawn
    ]
    fields = {
        "population": check.population,
        "proven": proven,
        "sample": len(check.drawn),
        "drawn": drawn,
        "false_steps": assumed,
        "detection": {"numerator": odds.numerator, "denominator": odds.denominator},
    }
    counts = ", ".join(
        f"{count} {verdict.value}"
        for verdict in Verdict
        if (count := sum(one.verdict is verdict for one in check.drawn))
    )
    line = (
        f"{len(check.drawn)} of {check.population} {'proven ' if proven else ''}steps recomputed: {counts};"
        f" {_some(assumed, 'false step')} among the {check.population} would have been found"
        f" with probability {odds} ({float(odds):.4f})"
    )
    if not check.failures:
        return Outcome(ExitCode.VERIFIED, line, fields)
    first = check.failures[0]
    where = f"{first.chain} step {first.number}"
    why = "an input is withheld" if first.verdict is Verdict.WITHHELD else "the weights do not follow"
    fields |= {"check": Check.SPOT_CHECK.value, "where": where, "why": why}
    return Outcome(ExitCode.INVALID, f"{where}: {why}; {line} [check {Check.SPOT_CHECK.value}]", fields)


def failed(error: AuditError) -> Outcome:
    """A refusal, an obstacle, or the caller's own mistake."""
    where = _safe(error.where)
    why = _safe(error.why)
    fields = {"check": error.check.value, "where": error.where, "why": error.why}
    evidence = error.evidence if isinstance(error, Conflict) else ()
    line = f"{why} [check {error.check.value}{', ' + where if where else ''}]"
    return Outcome(error.exit_code, line, fields, evidence)


def internal(error: Exception) -> Outcome:
    """The verifier itself failed: neither for nor against the evidence."""
    why = f"the verifier failed with {type(error).__name__}; please report it with the file"
    fields = {"check": Check.INTERNAL.value, "where": "", "why": why}
    return Outcome(ExitCode.INCONCLUSIVE, f"{why} [check {Check.INTERNAL.value}]", fields)


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s since 1970"


def _safe(text: str) -> str:
    """Foreign text on one line, without control characters, and not too long."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= _SHOWN else clean[:_SHOWN] + "…"
