"""Recomputing a run's steps from store and ledger: what the spot check's draw is made from.

The steps are those that the chains show. Under a trust root they are those of the newest accepted version's
lineage, each proved, and so are the digests of the readings that they trained on: then nothing of what is
recomputed is the deployment's word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from audit.errors import Check, Inconclusive, Invalid, Unverifiable
from audit.lineage import LineageFacts
from audit.live import translated
from audit.ports import AuditedSystem
from audit.spotcheck import Randomness, Recomputation, SpotCheck, Verdict, spot_check
from audit.verifier import verify_bundle
from chaincode.api import Attest, GetRecord, GetRun, GetStep, Outcome, Run, Step, StoredRecord, Subject
from chaincode.payloads import decode_result
from ledger.errors import ContractRefused
from ledger.lookups import ACCEPTED
from ledger.port import Ledger, evaluate_typed
from protocol.commitments import parse_manifest, recipe_digest, step_commitment
from protocol.errors import ProtocolError
from protocol.trust import TrustRoot
from store.errors import Corrupt, NotFound
from store.port import Store

__all__ = ["recompute"]


def recompute(
    system: AuditedSystem,
    run_name: str,
    sample: int,
    source: Callable[[], Randomness],
    progress: Callable[[str], None] = lambda line: None,
    trust: TrustRoot | None = None,
) -> SpotCheck:
    """Draw accepted steps of a run and recompute them from store and ledger alone.

    Args:
        system: the deployment.
        run_name: the run.
        sample: how many steps.
        source: gives the draw's randomness; asked once the population is fixed.
        progress: called with a line before each recomputation.
        trust: the auditor's trust root. With it the population is the steps in the lineage of the newest
            accepted version, which is proved first, as ``audit model`` does; without it, every accepted step
            that the deployment shows.

    Raises:
        Unverifiable: no such run, no accepted step, or under a trust root a version that is not anchored yet.
        Invalid, Untrusted: under a trust root, the lineage does not hold or a step is not the one in it.
        Inconclusive: nothing here can recompute steps.
        Unusable: more steps asked for than there are.
    """
    if system.replayer is None:
        raise Inconclusive(Check.SPOT_CHECK, "nothing here can recompute steps")
    with translated():
        run: Run = evaluate_typed(system.ledgers[system.trust.main], GetRun(run_name))
        steps = _accepted_steps(system, run)
    if not steps:
        raise Unverifiable(Check.PENDING, f"run {run_name} has no accepted step yet")
    proven = None
    if trust is not None:
        proven = _prove(system, run, trust)
        steps = proven.select(steps)

    def replay(chain: str, step: Step) -> Recomputation:
        progress(f"{chain} step {step.number}")
        with translated():
            return _replay(system, run, chain, step, proven)

    return spot_check(steps, sample, replay, source())


@dataclass(frozen=True)
class _Proven:
    """What is known of a run under a trust root."""

    commitments: Mapping[str, str]
    contents: Mapping[tuple[str, bytes], bytes]
    """Digest of each reading that was trained on, by chain and record."""

    def select(self, steps: Sequence[tuple[str, Step]]) -> list[tuple[str, Step]]:
        """The steps of the proven lineage, which must all be among those that the ledger shows.

        Raises:
            Invalid: another step stands at a proven one's place (check ``step``).
            Unverifiable: a proven step is not shown.
        """
        shown = {f"{chain}/{step.number}": (chain, step) for chain, step in steps}
        for place, commitment in sorted(self.commitments.items()):
            if place not in shown:
                raise Unverifiable(Check.MISSING, "the ledger does not show an anchored step", place)
            if shown[place][1].commitment.hex() != commitment:
                raise Invalid(Check.STEP, "the ledger shows another step than the anchored lineage", place)
        return [one for place, one in shown.items() if place in self.commitments]


def _prove(system: AuditedSystem, run: Run, trust: TrustRoot) -> _Proven:
    """Verify the lineage of the run's newest accepted version."""
    index = system.indexes[system.trust.main]
    with translated():
        index.sync()
    version = 0
    while version < run.rounds and index.find_all(
        ACCEPTED, f"{Subject.AGGREGATE.value}/{run.run}/{version + 1}"
    ):
        version += 1
    if not version:
        raise Unverifiable(Check.PENDING, f"run {run.run} has no accepted version yet to hold steps against")
    with translated():
        try:
            bundle = system.prover.model_bundle(run.run, version)
        except (NotFound, Corrupt) as error:  # a data set's manifest: withheld, as any other input may be
            raise Invalid(Check.SPOT_CHECK, f"an input is withheld: {error}", run.run) from error
    facts = verify_bundle(bundle, trust).facts
    assert isinstance(facts, LineageFacts)
    contents = {
        (batch.chain, shown.leaf.record): shown.leaf.reading.content_digest
        for batch in bundle.batches
        for shown in batch.leaves
    }
    return _Proven(facts.commitments, contents)


def _accepted_steps(system: AuditedSystem, run: Run) -> list[tuple[str, Step]]:
    """Every accepted step of the run, by chain and number: the order that the draw counts in."""
    found = []
    for roster in run.rosters:
        if roster.chain == system.trust.main:
            continue
        index = system.indexes[roster.chain]
        index.sync()
        for number in range(1, run.rounds + 1):
            elements = index.find_all(ACCEPTED, f"{Subject.STEP.value}/{run.run}/{number}")
            if elements:
                outcome: Outcome = decode_result(Attest, index.element(elements[0]).payload)
                step = evaluate_typed(system.ledgers[roster.chain], GetStep(run.run, number, outcome.attempt))
                found.append((roster.chain, step))
    return found


def _replay(system: AuditedSystem, run: Run, chain: str, step: Step, proven: _Proven | None) -> Recomputation:
    commitment = step_commitment(
        step.result, step.parent, step.aggregate, step.data, recipe_digest(run.recipe), step.number, step.run
    )
    if commitment != step.commitment:
        return Recomputation(b"", Verdict.DIFFERS, None)
    store = system.stores.get(chain)
    if store is None or system.replayer is None:
        return Recomputation(b"", Verdict.WITHHELD, None)
    try:
        parent = store.get_tree(step.parent)
        aggregate = _aggregate(system, store, step.aggregate)
        records = parse_manifest(store.get(step.data))
        data = [store.get(_content_digest(system.ledgers[chain], record, proven)) for record in records]
    except (NotFound, Corrupt, ProtocolError):
        return Recomputation(b"", Verdict.WITHHELD, None)
    except ContractRefused as error:
        if error.code != "not-found":
            raise
        # The manifest names what was never recorded: a fault of the step, not an obstacle to the auditor.
        return Recomputation(b"", Verdict.DIFFERS, None)
    try:
        claimed: bytes | None = store.get_tree(step.result)
    except (NotFound, Corrupt):
        claimed = None
    return system.replayer.replay(run, step, parent, aggregate, data, claimed)


def _aggregate(system: AuditedSystem, store: Store, address: bytes) -> bytes:
    """M_O from the edge's store, else from main's."""
    main = system.stores.get(system.trust.main)
    if main is None or store.has_tree(address):
        return store.get_tree(address)
    return main.get_tree(address)


def _content_digest(ledger: Ledger, record: bytes, proven: _Proven | None) -> bytes:
    if proven is not None:
        return proven.contents[ledger.chain, record]
    stored: StoredRecord = evaluate_typed(ledger, GetRecord(record))
    return stored.leaf.reading.content_digest
