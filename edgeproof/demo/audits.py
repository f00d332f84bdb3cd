"""The demo's audits: public commands, each in a process of its own, as a stranger would call them."""

from __future__ import annotations

from pathlib import Path

from edgeproof.demo.commands import Said, call_public
from edgeproof.deployment import Deployment
from edgeproof.errors import DemoError

__all__ = ["audit"]


def audit(deployment: Deployment, out: Path, run: str, rounds: int, record: bytes) -> list[tuple[str, Said]]:
    """Audit a record, a model, the anchors, a few steps, and every exported bundle.

    Args:
        deployment: what is audited.
        out: the demo's folder, with the trust root and the bundles.
        run: the honest run.
        rounds: how many it had.
        record: id of a record of the last edge.

    Returns:
        What each audit is called and said.

    Raises:
        DemoError: one of them did not verify.
    """
    edges = deployment.plan.edges
    sample = min(3, len(edges) * rounds)  # the run has no more steps than that
    there = ["--deployment", str(deployment.root)]
    trust = ["--trust", str(out / "trust.json")]
    audits = [
        (
            f"a random record of {'another' if len(edges) > 1 else 'the'} edge",
            call_public(
                [
                    *("audit", "record", edges[-1].chain, record.hex()),
                    *("--holder", edges[0].chain, *trust, *there),
                ]
            ),
        ),
        (
            "the final model's lineage, and every reading's bytes",
            call_public(["audit", "model", run, str(rounds), "--contents", *trust, *there]),
        ),
        ("anchors of all chains", call_public(["audit", "anchors", *trust, *there])),
        ("spot check", call_public(["recompute", run, "--sample", str(sample), *trust, *there])),
    ]
    for path in sorted((out / "bundles").glob("*.json")):
        audits.append((path.stem, call_public(["audit", "bundle", str(path), *trust])))
    for name, said in audits:
        if said.exit_code != 0:
            raise DemoError(f"audit of {name} ended with {said.exit_code}: {said.line}\n  {said.command}")
    return audits
