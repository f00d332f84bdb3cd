"""What a demo came to: the summary for programs, the report for people."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeproof.demo.commands import Said
from edgeproof.demo.measurements import Counts
from edgeproof.demo.report import ProofSample, ReportData, write_report
from edgeproof.demo.scene import AttackResult
from edgeproof.demo.state import DemoParameters

__all__ = ["summarise"]


def summarise(
    out: Path,
    parameters: DemoParameters,
    counts: Counts,
    proofs: Sequence[ProofSample],
    attacks: Sequence[AttackResult],
    audits: Sequence[tuple[str, Said]],
    federated: Sequence[float],
    central: float,
    seconds: float,
) -> dict[str, Any]:
    """Write ``report.html``.

    Args:
        out: the demo's folder.
        parameters: what was chosen.
        counts: of the chains, for this demo alone.
        proofs: a sample of records' proofs.
        attacks: how each attack ended.
        audits: what each audit was called and said.
        federated: accuracy of each version, by round.
        central: accuracy of central training.
        seconds: time spent, over all calls.

    Returns:
        The summary, as it belongs into ``summary.json``.
    """
    summary: dict[str, Any] = {
        "edges": parameters.edges,
        "devices": parameters.devices,
        "records": counts.records,
        "blocks": counts.blocks,
        "anchors": {"type2": counts.type2, "type3": counts.type3},
        "rounds": len(federated),
        "ledger": parameters.ledger,
        "accuracy": {"federated": federated[-1], "central": central},
        "attacks": [
            {"name": one.name, "caught": one.caught, "exit_code": one.said.exit_code} for one in attacks
        ],
        "proof": {
            "bytes": int(statistics.median(sample.size for sample in proofs)),
            "prove_ms": round(statistics.median(sample.prove_ms for sample in proofs), 3),
            "verify_ms": round(statistics.median(sample.verify_ms for sample in proofs), 3),
        },
        "seconds": round(seconds, 1),
    }
    write_report(
        out / "report.html",
        ReportData(
            summary=summary,
            rounds=list(enumerate(federated, start=1)),
            central=central,
            anchors=counts.anchor_times,
            proofs=proofs,
            audits=[(name, said.command, said.exit_code, said.line) for name, said in audits],
            attacks=[
                (one.name, one.what, one.said.command, one.said.exit_code, one.said.line) for one in attacks
            ],
            chains=counts.chains,
        ),
    )
    return summary
