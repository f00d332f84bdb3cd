"""The training peer: an organisation's trainer and attester on one edge (seed 003, section V.B).

For each step the roster's turn names one trainer. It verifies M_O across the chains and M_i and d on its own,
trains in a worker, keeps the snapshot and submits the step. The other organisations recompute and vote. When
an attempt is rejected, the next one falls to the next organisation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from chaincode.api import (
    Attest,
    Attestation,
    CrossChainProof,
    Expire,
    Outcome,
    Run,
    State,
    Step,
    Subject,
    SubmitStep,
)
from ledger.port import Ledger
from protocol.commitments import manifest_bytes
from store.port import Store
from training.chainview import ChainView
from training.crosschain import verify_cross_chain
from training.datasets import MEDIA_TYPES, check_selection
from training.environment import exact_fingerprint
from training.errors import InputError, NotYet, UnprovenInput, Withheld
from training.inputs import InputReader
from training.machine import Advance, Done, Finished, Waiting, submit_once
from training.recipe import author, check_recipe, roster_of
from training.replay import Recomputed, Verdict, commitment_of, recompute_step
from training.snapshots import initial_snapshot, tree_hash
from training.tasks import UpdateTask, Worker

__all__ = ["TrainingPeer"]

_log = logging.getLogger(__name__)
_STEP: Final = Subject.STEP


@dataclass(frozen=True)
class _Ground:
    """What a step must stand on, as this chain shows it."""

    parent: bytes
    """Tree hash of M_i."""
    aggregate: bytes
    """Tree hash of M_O, verified across the chains."""
    proof: CrossChainProof | None
    records: int
    """Records of the data set that stood on the chain when M_O arrived: none of them may be left out."""


class TrainingPeer:
    """Trains and attests for one organisation on one edge, in one run.

    Args:
        run: the run's name.
        organisation: MSP id, a member of the run's roster for this chain.
        ledger: the edge's chain; submissions carry the organisation's trainer identity.
        store: the edge's store.
        worker: computes.
        main: id of the main chain.
        patience_s: how long a withheld input may still turn up before the vote says so.
        thorough: also recompute steps that others' votes have already accepted.
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self,
        run: str,
        organisation: str,
        ledger: Ledger,
        store: Store,
        worker: Worker,
        *,
        main: str = "main",
        patience_s: float = 30.0,
        thorough: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run: Final = run
        self.organisation: Final = organisation
        self.ledger: Final = ledger
        self.name: Final = f"{organisation} on {ledger.chain}"
        self._store = store
        self._worker = worker
        self._main = main
        self._patience_s = patience_s
        self._thorough = thorough
        self._clock = clock
        self._view = ChainView(ledger)
        self._inputs = InputReader(ledger, store)
        self._missed_since: dict[bytes, float] = {}

    def advance(self) -> Advance:
        """See ``training.machine.Machine``."""
        self._view.sync()
        seen = self._view.run(self.run)
        if seen is None:
            return Waiting(f"run {self.run} is not adopted on {self.ledger.chain}")
        run = seen.run
        check_recipe(run.recipe)
        if self.organisation not in roster_of(run, self.ledger.chain).organisations:
            return Finished(f"{self.organisation} has no part in run {run.run}")
        for number in range(1, run.rounds + 1):
            if self._thorough and (owed := self._owed(run, number)) is not None:
                event = self._attest(run, owed)
                if not isinstance(event, Waiting):  # a late vote holds up nothing that is due
                    return event
            if self._view.accepted(_STEP, run.run, number) is None:
                return self._next(run, number)
        return Finished("all steps are accepted")

    # ------------------------------------------------------------------ whose turn it is

    def _next(self, run: Run, number: int) -> Advance:
        step = self._view.step(run.run, number)
        state = State.PENDING if step is None else self._view.state(_STEP, run.run, number, step.attempt)
        if step is not None and state is State.PENDING:
            if self._clock() >= run.deadline:
                return self._expire(run, step)
            if step.trainer == self.organisation or self._has_voted(step):
                return Waiting(f"the votes on step {number}")
            return self._attest(run, step)
        if self._clock() >= run.deadline:
            return Finished(f"the deadline has passed before step {number} was accepted")
        attempt = 1 if step is None else step.attempt + 1
        trainer = author(run, self.ledger.chain, number, attempt)
        if trainer != self.organisation:
            return Waiting(f"step {number} by {trainer}")
        return self._train(run, number, attempt)

    def _owed(self, run: Run, number: int) -> Step | None:
        """An accepted step that this organisation has not voted on."""
        step = self._view.step(run.run, number)
        if step is None or step.trainer == self.organisation or self._has_voted(step):
            return None
        accepted = self._view.state(_STEP, run.run, number, step.attempt) is State.ACCEPTED
        return step if accepted and self._clock() < run.deadline else None

    def _has_voted(self, step: Step) -> bool:
        return self._view.voted(_STEP, step.run, step.number, step.attempt, self.organisation)

    # ------------------------------------------------------------------ the inputs

    def _ground(self, run: Run, number: int) -> _Ground:
        """Verify M_O across the chains and M_i on this one.

        Raises:
            NotYet: M_O has not arrived.
            UnprovenInput: what was published here as M_O is not proved to be main's accepted version.
        """
        kinds = MEDIA_TYPES[run.recipe.data_set]
        if number == 1:
            self._provide_initial(run)
            adopted = self._view.run(run.run)
            assert adopted is not None
            return _Ground(run.initial, run.initial, None, self._view.records_before(kinds, adopted.block))
        previous = self._view.accepted(_STEP, run.run, number - 1)
        assert previous is not None  # steps are taken in order
        published = self._view.published(run.run, number - 1)
        if published is None:
            raise NotYet(f"version {number - 1} of the model is not published on {self.ledger.chain}")
        outcome = self._proved_outcome(published.proof)
        wanted = (Subject.AGGREGATE, run.run, number - 1, State.ACCEPTED, published.model.result)
        if (outcome.subject, outcome.run, outcome.number, outcome.state, outcome.result) != wanted:
            raise UnprovenInput(f"version {number - 1} as published here is not what {self._main} accepted")
        records = self._view.records_before(kinds, published.block)
        return _Ground(previous.outcome.result, published.model.result, published.proof, records)

    def _proved_outcome(self, proof: CrossChainProof) -> Outcome:
        if proof.chain != self._main:
            raise UnprovenInput(f"an aggregate proved on {proof.chain}, which is not {self._main}")
        outcome = verify_cross_chain(self.ledger, proof, Attest)
        assert isinstance(outcome, Outcome)
        return outcome

    def _provide_initial(self, run: Run) -> None:
        """M_0 follows from the recipe: whoever needs it makes it (unless the run starts elsewhere)."""
        if not self._store.has_tree(run.initial):
            snapshot = initial_snapshot(run.recipe)
            if tree_hash(snapshot) == run.initial:
                self._store.put_tree(snapshot)

    # ------------------------------------------------------------------ training

    def _train(self, run: Run, number: int, attempt: int) -> Advance:
        try:
            ground = self._ground(run, number)
        except NotYet as error:
            return Waiting(str(error))
        recipe = run.recipe
        records = self._view.records(MEDIA_TYPES[recipe.data_set])
        if not records:
            return Waiting(f"no record on {self.ledger.chain} to train on")
        data = self._inputs.data_set(recipe, self._store.put(manifest_bytes(records)))
        if data.examples == 0:
            return Waiting(f"no record on {self.ledger.chain} is an example")
        parent = self._inputs.snapshot(recipe, ground.parent, "the step's parent")
        aggregate = self._inputs.snapshot(recipe, ground.aggregate, "the step's aggregate")
        computed = self._worker.update(
            UpdateTask(recipe, run.run, number, data.digest, parent, aggregate, data.features, data.labels)
        )
        # The snapshot is durable before the chain names it.
        result = self._store.put_tree(computed.snapshot)
        unsealed = Step(
            run=run.run,
            number=number,
            attempt=attempt,
            trainer=self.organisation,
            parent=ground.parent,
            aggregate=ground.aggregate,
            aggregate_version=number - 1,
            data=data.digest,
            examples=data.examples,
            result=result,
            commitment=b"",
            environment=computed.environment,
        )
        step = _sealed(run, unsealed)
        if submit_once(self.ledger, SubmitStep(step, ground.proof)) is None:
            return Waiting(f"step {number} is recorded already")
        return Done("trained", self.ledger.chain, run.run, number, f"{data.examples} examples")

    # ------------------------------------------------------------------ attesting

    def _attest(self, run: Run, step: Step) -> Advance:
        recomputed = self._judge(run, step)
        if recomputed is None:
            return Waiting(f"an input of step {step.number}")
        agrees = recomputed.verdict in (Verdict.EQUAL, Verdict.WITHIN)
        if agrees and recomputed.verdict is Verdict.EQUAL:
            # Another copy of what the next step needs, should the trainer's not be where it belongs.
            self._store.put_tree(recomputed.snapshot)
        vote = Attestation(
            subject=_STEP,
            run=step.run,
            number=step.number,
            attempt=step.attempt,
            commitment=step.commitment,
            organisation=self.organisation,
            agrees=agrees,
            # The chain knows three words; a withheld input is a vote against with nothing recomputed.
            verdict=(Verdict.DIFFERS if recomputed.verdict is Verdict.WITHHELD else recomputed.verdict).value,
            recomputed=b"" if recomputed.verdict is Verdict.WITHHELD else recomputed.result,
            environment=recomputed.environment or exact_fingerprint(),
        )
        if submit_once(self.ledger, Attest(vote)) is None:
            return Waiting(f"the vote on step {step.number} is recorded already")
        self._missed_since.pop(step.commitment, None)
        if not agrees:
            _log.warning("%s votes against step %d: %s", self.name, step.number, recomputed.reason)
        what = "attested" if agrees else "rejected"
        return Done(what, self.ledger.chain, run.run, step.number, recomputed.reason)

    def _judge(self, run: Run, step: Step) -> Recomputed | None:
        """Recompute; None while an input may still turn up."""
        try:
            self._check_ground(run, step)
            recomputed = recompute_step(run, step, self._inputs, self._worker)
        except NotYet:
            return None
        except Withheld as error:
            recomputed = Recomputed(Verdict.WITHHELD, b"", b"", None, str(error))
        except InputError as error:
            return Recomputed(Verdict.DIFFERS, b"", b"", None, str(error))
        if recomputed.verdict is not Verdict.WITHHELD:
            return recomputed
        since = self._missed_since.setdefault(step.commitment, self._clock())
        return recomputed if self._clock() - since >= self._patience_s else None

    def _check_ground(self, run: Run, step: Step) -> None:
        """The step's inputs are the ones that the chains' course demands.

        Raises:
            NotYet, InputError: see ``_ground``.
        """
        ground = self._ground(run, step.number)
        if step.trainer != author(run, self.ledger.chain, step.number, step.attempt):
            raise UnprovenInput(f"step {step.number} was not {step.trainer}'s to make")
        if step.parent != ground.parent:
            raise UnprovenInput("the parent is not the result of the step before")
        if step.aggregate != ground.aggregate or step.aggregate_version != step.number - 1:
            raise UnprovenInput("the aggregate is not the version that main accepted for this round")
        if step.commitment != commitment_of(run, step):
            raise UnprovenInput("the commitment is not that of the step's fields")
        records = self._view.records(MEDIA_TYPES[run.recipe.data_set])
        check_selection(self._inputs.manifest(step.data), records, ground.records)

    def _expire(self, run: Run, step: Step) -> Advance:
        if submit_once(self.ledger, Expire(_STEP, run.run, step.number, step.attempt)) is None:
            return Waiting(f"step {step.number} is decided already")
        return Done("expired", self.ledger.chain, run.run, step.number)


def _sealed(run: Run, step: Step) -> Step:
    """The step with its commitment."""
    return replace(step, commitment=commitment_of(run, step))
