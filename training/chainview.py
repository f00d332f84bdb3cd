"""What a chain says about runs, steps, votes and versions: a fold over its blocks.

The view is derived from blocks alone and keeps nothing on disk: whoever starts again reads the chain again
and stands where the chain stands. Only valid transactions of the product's own chaincode count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaincode.api import (
    AdoptRun,
    Attest,
    CommitModel,
    CreateRun,
    CrossChainProof,
    Expire,
    Message,
    ModelVersion,
    Outcome,
    PublishedModel,
    PublishModel,
    Run,
    State,
    Step,
    Subject,
    SubmitBatch,
    SubmitReading,
    SubmitStep,
)
from chaincode.payloads import decode_result
from ledger.port import Ledger
from protocol import elements
from protocol.elements import CHAINCODE, VALID, ElementView
from protocol.encodings import decode
from protocol.readings import SignedReading
from protocol.signature_base import record_id

__all__ = ["Accepted", "ChainView", "Published", "RunSeen"]

Key = tuple[Subject, str, int, int]


@dataclass(frozen=True)
class RunSeen:
    """A run as this chain created or adopted it."""

    run: Run
    transaction: str
    block: int


@dataclass(frozen=True)
class Published:
    """A model version that was pushed down to this chain."""

    model: PublishedModel
    proof: CrossChainProof
    block: int


@dataclass(frozen=True)
class Accepted:
    """The vote that made a subject accepted."""

    outcome: Outcome
    transaction: str


class ChainView:
    """Follows one chain.

    Args:
        ledger: the chain.
        views: how a block is read; tests may hand in another.

    Memory: about 200 bytes a record of the chain, and every step, vote and version.
    """

    def __init__(
        self, ledger: Ledger, views: Callable[[Any], Iterable[ElementView]] = elements.views
    ) -> None:
        self.ledger: Final = ledger
        self.height = 0
        self._views = views
        self._runs: dict[str, RunSeen] = {}
        self._steps: dict[tuple[str, int], list[Step]] = defaultdict(list)
        self._versions: dict[tuple[str, int], list[ModelVersion]] = defaultdict(list)
        self._published: dict[tuple[str, int], Published] = {}
        self._outcomes: dict[Key, Outcome] = {}
        self._accepted: dict[tuple[Subject, str, int], Accepted] = {}
        self._votes: dict[Key, set[str]] = defaultdict(set)
        self._records: dict[str, tuple[list[bytes], list[int]]] = defaultdict(lambda: ([], []))
        self._order = 0

    def sync(self) -> int:
        """Read the blocks that there are now; how many were read.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        count = 0
        for block in self.ledger.blocks(self.height):
            for view in self._views(block):
                handler = _HANDLERS.get(view.function)
                if handler is not None and view.code == VALID and view.chaincode == CHAINCODE:
                    handler(self, view)
            self.height = int(block.header.number) + 1
            count += 1
        return count

    # ------------------------------------------------------------------ what there is

    def run(self, run: str) -> RunSeen | None:
        """The run, once this chain created or adopted it."""
        return self._runs.get(run)

    def step(self, run: str, number: int) -> Step | None:
        """The newest attempt at a step."""
        attempts = self._steps.get((run, number))
        return attempts[-1] if attempts else None

    def version(self, run: str, version: int) -> ModelVersion | None:
        """The newest attempt at a model version."""
        attempts = self._versions.get((run, version))
        return attempts[-1] if attempts else None

    def published(self, run: str, version: int) -> Published | None:
        """A version as it was pushed down to this chain."""
        return self._published.get((run, version))

    def state(self, subject: Subject, run: str, number: int, attempt: int) -> State:
        """Where an attempt stands; pending until a vote says more."""
        outcome = self._outcomes.get((subject, run, number, attempt))
        return State.PENDING if outcome is None else outcome.state

    def accepted(self, subject: Subject, run: str, number: int) -> Accepted | None:
        """The first vote after which an attempt at this step or version stood accepted."""
        return self._accepted.get((subject, run, number))

    def voted(self, subject: Subject, run: str, number: int, attempt: int, organisation: str) -> bool:
        """Whether an organisation has voted on an attempt."""
        return organisation in self._votes.get((subject, run, number, attempt), ())

    def records(self, media_types: Iterable[str]) -> tuple[bytes, ...]:
        """Ids of all records of these content types, in the chain's order."""
        return tuple(record for _, record in self._merged(media_types))

    def records_before(self, media_types: Iterable[str], block: int) -> int:
        """How many of these records stand in blocks before ``block``."""
        return sum(bisect_left(self._records[kind][1], _position(block, 0)) for kind in set(media_types))

    # ------------------------------------------------------------------ reading elements

    def _merged(self, media_types: Iterable[str]) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        for kind in sorted(set(media_types)):
            records, positions = self._records[kind]
            found += zip(positions, records, strict=True)
        return sorted(found)

    def _on_readings(self, view: ElementView, readings: Sequence[SignedReading]) -> None:
        for reading in readings:
            self._order = max(self._order + 1, _position(view.block, 0))
            records, positions = self._records[reading.content_type]
            records.append(record_id(self.ledger.chain, reading))
            positions.append(self._order)

    def _on_batch(self, view: ElementView) -> None:
        self._on_readings(view, decode(SubmitBatch, view.argument).readings)

    def _on_reading(self, view: ElementView) -> None:
        self._on_readings(view, (decode(SubmitReading, view.argument).reading,))

    def _on_run(self, view: ElementView) -> None:
        kind: type[Message] = CreateRun if view.function == CreateRun.FUNCTION else AdoptRun
        run: Run = decode_result(kind, view.payload)
        self._runs.setdefault(run.run, RunSeen(run, view.transaction, view.block))

    def _on_step(self, view: ElementView) -> None:
        step: Step = decode_result(SubmitStep, view.payload)
        self._steps[step.run, step.number].append(step)

    def _on_version(self, view: ElementView) -> None:
        model: ModelVersion = decode_result(CommitModel, view.payload)
        self._versions[model.run, model.version].append(model)

    def _on_published(self, view: ElementView) -> None:
        model: PublishedModel = decode_result(PublishModel, view.payload)
        proof = decode(PublishModel, view.argument).proof
        self._published.setdefault((model.run, model.version), Published(model, proof, view.block))

    def _on_attestation(self, view: ElementView) -> None:
        vote = decode(Attest, view.argument).attestation
        self._votes[vote.subject, vote.run, vote.number, vote.attempt].add(vote.organisation)
        self._on_outcome(view, decode_result(Attest, view.payload))

    def _on_expiry(self, view: ElementView) -> None:
        self._on_outcome(view, decode_result(Expire, view.payload))

    def _on_outcome(self, view: ElementView, outcome: Outcome) -> None:
        self._outcomes[outcome.subject, outcome.run, outcome.number, outcome.attempt] = outcome
        if outcome.state is State.ACCEPTED:
            key = (outcome.subject, outcome.run, outcome.number)
            self._accepted.setdefault(key, Accepted(outcome, view.transaction))


def _position(block: int, offset: int) -> int:
    """A number that orders records by block and then by arrival (a block holds less than 2^24 records)."""
    return (block << 24) + offset


_HANDLERS: Final[dict[str, Callable[[ChainView, ElementView], None]]] = {
    SubmitBatch.FUNCTION: ChainView._on_batch,
    SubmitReading.FUNCTION: ChainView._on_reading,
    CreateRun.FUNCTION: ChainView._on_run,
    AdoptRun.FUNCTION: ChainView._on_run,
    SubmitStep.FUNCTION: ChainView._on_step,
    CommitModel.FUNCTION: ChainView._on_version,
    PublishModel.FUNCTION: ChainView._on_published,
    Attest.FUNCTION: ChainView._on_attestation,
    Expire.FUNCTION: ChainView._on_expiry,
}
