"""The aggregator: a main organisation's part in a run (seed 003, sections V and V.B; seed 004's averaging).

It waits until every edge's step of the round is accepted there and anchored on main, checks each proof and
fetches the weights from the edges' stores, averages them in integers and commits the version. Another main
organisation recomputes and votes. Accepted versions are pushed down to the edges, with their proof, once
main's anchor is held there; so is the run itself at the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from chaincode.api import (
    AggregateInput,
    Attest,
    Attestation,
    CommitModel,
    CrossChainProof,
    Expire,
    ModelVersion,
    Outcome,
    Run,
    State,
    Subject,
)
from ledger.port import Ledger
from ledger.proof_errors import Pending
from protocol.commitments import aggregate_commitment, recipe_digest
from store.port import Store
from training.aggregation import WeightedInput, aggregate_snapshots
from training.chainview import Accepted, ChainView
from training.crosschain import CrossChainProver, verify_cross_chain
from training.environment import exact_fingerprint
from training.errors import AggregationError, InputError, NotYet, SnapshotError, UnprovenInput, Withheld
from training.inputs import fetch_tree
from training.machine import Advance, Done, Finished, Waiting, submit_once
from training.publisher import Publisher
from training.recipe import author, check_recipe, roster_of

__all__ = ["Aggregator", "version_commitment"]

_log = logging.getLogger(__name__)
_STEP: Final = Subject.STEP
_AGGREGATE: Final = Subject.AGGREGATE


@dataclass(frozen=True)
class _Gathered:
    """An edge's part of a round."""

    entry: AggregateInput
    transaction: str
    """Of the vote that made the step accepted, on the edge."""


def version_commitment(run: Run, model: ModelVersion) -> bytes:
    """The commitment that a version must carry."""
    return aggregate_commitment(
        model.result, model.parent, model.inputs, recipe_digest(run.recipe), model.version, model.run
    )


class Aggregator:
    """Aggregates, attests and publishes for one organisation of main, in one run.

    Args:
        run: the run's name.
        organisation: MSP id, a member of the run's roster for main.
        main: main's ledger; submissions carry the organisation's aggregator identity.
        edges: the edges' ledgers, read and published to, by chain.
        stores: every chain's store, main's included, by chain.
        prover: proves transactions of the edges to main, and of main to the edges.
        patience_s: how long a withheld input may still turn up before the vote says so; and how long the
            organisation whose turn it is may take to publish before any other does.
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self,
        run: str,
        organisation: str,
        main: Ledger,
        edges: Mapping[str, Ledger],
        stores: Mapping[str, Store],
        prover: CrossChainProver,
        *,
        patience_s: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run: Final = run
        self.organisation: Final = organisation
        self.ledger: Final = main
        self.name: Final = f"{organisation} on {main.chain}"
        self._stores = stores
        self._prover = prover
        self._patience_s = patience_s
        self._clock = clock
        self._view = ChainView(main)
        self._edge_views = {chain: ChainView(ledger) for chain, ledger in edges.items()}
        self._publisher = Publisher(
            organisation, self._view, self._edge_views, stores, prover, patience_s, lambda: self._clock()
        )
        self._since: dict[bytes, float] = {}

    def advance(self) -> Advance:
        """See ``training.machine.Machine``."""
        self._view.sync()
        seen = self._view.run(self.run)
        if seen is None:
            return Waiting(f"run {self.run} is not created on {self.ledger.chain}")
        run = seen.run
        check_recipe(run.recipe)
        if self.organisation not in roster_of(run, self.ledger.chain).organisations:
            return Finished(f"{self.organisation} has no part in run {run.run}")
        for view in self._edge_views.values():
            view.sync()
        unpublished = self._publisher.push_down(run, seen.transaction)
        if isinstance(unpublished, Done):
            return unpublished
        found = self._rounds(run)
        return unpublished if unpublished is not None and isinstance(found, Finished) else found

    # ------------------------------------------------------------------ rounds

    def _rounds(self, run: Run) -> Advance:
        for version in range(1, run.rounds + 1):
            if self._view.accepted(_AGGREGATE, run.run, version) is None:
                return self._next(run, version)
        return Finished("all versions are accepted and published")

    def _next(self, run: Run, version: int) -> Advance:
        model = self._view.version(run.run, version)
        late = self._clock() >= run.deadline
        if model is not None:
            state = self._view.state(_AGGREGATE, run.run, version, model.attempt)
            if state is State.PENDING:
                if late:
                    return self._expire(run, model)
                voted = self._view.voted(_AGGREGATE, run.run, version, model.attempt, self.organisation)
                if model.author == self.organisation or voted:
                    return Waiting(f"the votes on version {version}")
                return self._attest(run, model)
        if late:
            return Finished(f"the deadline has passed before version {version} was accepted")
        attempt = 1 if model is None else model.attempt + 1
        turn = author(run, self.ledger.chain, version, attempt)
        if turn != self.organisation:
            return Waiting(f"version {version} by {turn}")
        return self._aggregate(run, version, attempt)

    def _gather(self, run: Run, version: int) -> list[_Gathered]:
        """Every edge's accepted step of the round, in the run's order.

        Raises:
            NotYet: an edge's step is not accepted yet.
        """
        found = []
        for roster in run.rosters:
            if roster.chain == self.ledger.chain:
                continue
            accepted = self._edge_views[roster.chain].accepted(_STEP, run.run, version)
            if accepted is None:
                raise NotYet(f"step {version} of {roster.chain}")
            found.append(_Gathered(_input_of(roster.chain, accepted), accepted.transaction))
        return found

    def _aggregate(self, run: Run, version: int, attempt: int) -> Advance:
        try:
            gathered = self._gather(run, version)
            proofs = tuple(self._proved(run, one) for one in gathered)
        except (NotYet, Pending) as error:
            return Waiting(str(error))
        inputs = tuple(one.entry for one in gathered)
        snapshot = self._mean(run, inputs)
        # The weights are durable before the chain names them.
        result = self._stores[self.ledger.chain].put_tree(snapshot)
        unsealed = ModelVersion(
            run=run.run,
            version=version,
            attempt=attempt,
            parent=self._parent(run, version),
            inputs=inputs,
            result=result,
            commitment=b"",
            author=self.organisation,
            environment=exact_fingerprint(),
        )
        model = replace(unsealed, commitment=version_commitment(run, unsealed))
        if submit_once(self.ledger, CommitModel(model, proofs)) is None:
            return Waiting(f"version {version} is recorded already")
        examples = sum(entry.examples for entry in inputs)
        return Done("aggregated", self.ledger.chain, run.run, version, f"{examples} examples")

    def _proved(self, run: Run, one: _Gathered) -> CrossChainProof:
        """Prove an edge's outcome to main, and check the proof as main's contract will.

        Raises:
            Pending, NotYet: not anchored on main yet.
            UnprovenInput: the proof does not hold.
        """
        chain = one.entry.chain
        proof = self._prover.cross_chain_proof(chain, one.transaction, holder=self.ledger.chain)
        outcome = verify_cross_chain(self.ledger, proof, Attest)
        assert isinstance(outcome, Outcome)
        if (outcome.subject, outcome.run, outcome.state) != (_STEP, run.run, State.ACCEPTED):
            raise UnprovenInput(f"{chain} did not accept step {one.entry.number}")
        if _input_of(chain, Accepted(outcome, one.transaction)) != one.entry:
            raise UnprovenInput(f"the proved outcome of {chain} is another one")
        return proof

    def _mean(self, run: Run, inputs: tuple[AggregateInput, ...]) -> bytes:
        """Fetch the inputs' weights from the edges' stores and average them.

        Raises:
            Withheld, SnapshotError, AggregationError.
        """
        fetched = [
            WeightedInput(
                fetch_tree(self._stores[entry.chain], entry.result, f"step {entry.number} of {entry.chain}"),
                entry.examples,
            )
            for entry in inputs
        ]
        return aggregate_snapshots(run.recipe, fetched)

    def _parent(self, run: Run, version: int) -> bytes:
        if version == 1:
            return run.initial
        accepted = self._view.accepted(_AGGREGATE, run.run, version - 1)
        assert accepted is not None  # versions are taken in order
        return accepted.outcome.result

    # ------------------------------------------------------------------ attesting

    def _attest(self, run: Run, model: ModelVersion) -> Advance:
        try:
            result, reason = self._recompute(run, model), ""
        except NotYet as error:
            return Waiting(str(error))
        except Withheld as error:
            since = self._since.setdefault(model.commitment, self._clock())
            if self._clock() - since < self._patience_s:
                return Waiting(str(error))
            result, reason = b"", str(error)
        except (InputError, SnapshotError, AggregationError) as error:
            result, reason = b"", str(error)
        agrees = result == model.result
        vote = Attestation(
            subject=_AGGREGATE,
            run=run.run,
            number=model.version,
            attempt=model.attempt,
            commitment=model.commitment,
            organisation=self.organisation,
            agrees=agrees,
            verdict="equal" if agrees else "differs",
            recomputed=result,
            environment=exact_fingerprint(),
        )
        if submit_once(self.ledger, Attest(vote)) is None:
            return Waiting(f"the vote on version {model.version} is recorded already")
        if not agrees:
            reason = reason or "the integers say otherwise"
            _log.warning("%s votes against version %d: %s", self.name, model.version, reason)
        what = "attested" if agrees else "rejected"
        return Done(what, self.ledger.chain, run.run, model.version, reason)

    def _recompute(self, run: Run, model: ModelVersion) -> bytes:
        """Tree hash of the version as its inputs make it.

        Raises:
            NotYet, InputError, SnapshotError, AggregationError.
        """
        if model.author != author(run, self.ledger.chain, model.version, model.attempt):
            raise UnprovenInput(f"version {model.version} was not {model.author}'s to make")
        if model.parent != self._parent(run, model.version):
            raise UnprovenInput("the parent is not the accepted version before")
        if model.commitment != version_commitment(run, model):
            raise UnprovenInput("the commitment is not that of the version's fields")
        if tuple(one.entry for one in self._gather(run, model.version)) != model.inputs:
            raise UnprovenInput("the inputs are not what the edges accepted")
        # Stored here too: the version outlives its author's store.
        return self._stores[self.ledger.chain].put_tree(self._mean(run, model.inputs))

    def _expire(self, run: Run, model: ModelVersion) -> Advance:
        if submit_once(self.ledger, Expire(_AGGREGATE, run.run, model.version, model.attempt)) is None:
            return Waiting(f"version {model.version} is decided already")
        return Done("expired", self.ledger.chain, run.run, model.version)


def _input_of(chain: str, accepted: Accepted) -> AggregateInput:
    outcome = accepted.outcome
    return AggregateInput(
        chain=chain,
        number=outcome.number,
        attempt=outcome.attempt,
        commitment=outcome.commitment,
        result=outcome.result,
        examples=outcome.examples,
    )
