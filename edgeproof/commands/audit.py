"""``edgeproof audit``, ``bundle`` and ``recompute``: the audit room's commands over a deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from audit.cli import make_apps, make_recompute_app

if TYPE_CHECKING:
    from audit.ports import AuditedSystem
    from audit.spotcheck import Recomputation
    from chaincode.api import Run, Step
    from training.pool import ForkedWorker

__all__ = ["audit_app", "bundle_app", "recompute_app"]


class _Replayer:
    """The audit's ``Replayer`` by one of training's workers: a process of its own, started when needed."""

    def __init__(self) -> None:
        self._worker: ForkedWorker | None = None

    def replay(
        self,
        run: Run,
        step: Step,
        parent: bytes,
        aggregate: bytes,
        data: Sequence[bytes],
        claimed: bytes | None,
    ) -> Recomputation:
        from audit.errors import Check, Inconclusive
        from audit.spotcheck import Recomputation, Verdict
        from training.errors import TrainingError
        from training.pool import ForkedWorker
        from training.replay import recompute_from_bytes

        if self._worker is None:
            self._worker = ForkedWorker()
        try:
            answer = recompute_from_bytes(run, step, parent, aggregate, data, self._worker, claimed)
        except TrainingError as error:
            # A machine that cannot compute says nothing about the step.
            raise Inconclusive(Check.SPOT_CHECK, str(error)) from error
        return Recomputation(answer.result, Verdict(answer.verdict.value), answer.environment)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()


@contextmanager
def _open(folder: Path | None) -> Iterator[AuditedSystem]:
    import tempfile

    from audit.errors import Check, Unusable
    from audit.ports import AuditedSystem
    from edgeproof.deployment import Deployment
    from edgeproof.errors import DeploymentError
    from edgeproof.settings import Settings
    from edgeproof.trust import export_trust
    from edgeproof.wiring import Parts

    try:
        deployment = Deployment(folder or Settings.from_environment().deployment)
    except DeploymentError as error:
        raise Unusable(Check.USAGE, str(error)) from error
    # An auditor believes no cache that lies in the audited folder: indexes are built anew beside it.
    with (
        tempfile.TemporaryDirectory(prefix="edgeproof-audit-") as scratch,
        Parts(deployment, "audit", caches=Path(scratch)) as parts,
        closing(_Replayer()) as replayer,
    ):
        yield AuditedSystem(
            trust=export_trust(parts),
            ledgers=parts.readers,
            indexes={chain: parts.index(ledger) for chain, ledger in parts.readers.items()},
            prover=parts.prover,
            stores={chain.chain: parts.store(chain.chain) for chain in deployment.plan.chains},
            replayer=replayer,
        )


audit_app, bundle_app = make_apps(_open)
recompute_app = make_recompute_app(_open)
