"""Making proofs: cross-chain proofs for contracts, bundles for auditors.

Nothing here is trusted by whoever verifies. What is missing because an anchor is still on its way is
``Pending``, with what is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from chaincode.api import (
    Attest,
    CommitModel,
    CreateRun,
    CrossChainProof,
    ModelVersion,
    Outcome,
    Run,
    Step,
    Subject,
    SubmitStep,
)
from chaincode.payloads import decode_result
from ledger.absence import make_absence
from ledger.gathering import Chains, Gathering
from ledger.index import ChainIndex
from ledger.lookups import ACCEPTED, ANCHOR
from ledger.port import Ledger
from ledger.proof_errors import (
    ChainDiverged,
    IncompleteEvidence,
    IndexDamaged,
    NotIndexed,
    Pending,
    UnsuitableHolder,
)
from ledger.record_evidence import add_records, place
from ledger.witnesses import Progress
from protocol.absence import AbsenceProof
from protocol.bundle import Bundle, ProvenElement
from protocol.commitments import parse_manifest
from protocol.encodings import sha256
from protocol.errors import EncodingError

__all__ = [
    "ChainDiverged",
    "IncompleteEvidence",
    "IndexDamaged",
    "ManifestSource",
    "NotIndexed",
    "Pending",
    "Prover",
]

_AT_ONCE: Final[AbstractContextManager[object]] = nullcontext()

ManifestSource = Callable[[str, bytes], bytes]
"""Gives a data set's manifest by chain and store address; the store itself is another room's."""


class Prover:
    """Makes proofs over several chains.

    Args:
        indexes: by chain; every chain whose elements or blocks a proof may need, main among them.
        ledgers: by chain.
        manifests: gives the manifests of data sets; only bundles of models and rounds need it.
        main: id of the main chain.
    """

    def __init__(
        self,
        indexes: Mapping[str, ChainIndex],
        ledgers: Mapping[str, Ledger],
        manifests: ManifestSource | None = None,
        *,
        main: str = "main",
    ) -> None:
        self._indexes: Final = indexes
        self._ledgers: Final = ledgers
        self._manifests: Final = manifests
        self._main: Final = main

    def cross_chain_proof(
        self, chain: str, transaction: str, *, holder: str | None = None
    ) -> CrossChainProof:
        """Membership of a transaction in the first anchor of its chain that covers it.

        Args:
            chain: where the transaction stands.
            transaction: its id.
            holder: the chain that shall check the proof; then the anchor must be held there.

        Raises:
            NotIndexed: no such transaction.
            Pending: not anchored, or not held on ``holder``, yet.
        """
        index = self._chains().index(chain)
        index.sync()
        proven = index.membership(index.number_of(transaction))
        if holder is not None:
            other = self._chains().index(holder)
            other.sync()
            if not other.find_all(ANCHOR, f"{chain}/{proven.anchor}"):
                raise Pending(f"anchor {proven.anchor} of {chain} is not held on {holder} yet")
        return CrossChainProof(
            chain=chain,
            anchor=proven.anchor,
            number=proven.number,
            block=proven.block,
            index=proven.index,
            code=proven.code,
            envelope_hash=proven.envelope_hash,
            payload=proven.payload,
            offset=proven.offset,
            witness=proven.witness,
        )

    def membership(
        self, chain: str, number: int, *, turn: AbstractContextManager[object] = _AT_ONCE
    ) -> ProvenElement:
        """Element ``number`` of a chain with its membership in the first anchor that covers it.

        Args:
            chain: where it is.
            number: its number.
            turn: held while the proof is made, but not while the chain is asked for its newest blocks.

        Raises:
            NotIndexed: no such chain or element.
            Pending: not anchored yet.
        """
        index = self._chains().index(chain)
        index.sync()
        with turn:
            return index.membership(number)

    def absence(self, kind: str, chain: str, subject: str, first: int, last: int) -> AbsenceProof:
        """A proof that a subject is in no range from one anchor to another; see ``ledger.absence``.

        Raises:
            NotAbsent: it is there.
            NotIndexed, Pending: as ``make_absence``.
        """
        return make_absence(self._chains(), kind, chain, subject, first, last)

    def prepare_witnesses(
        self,
        chain: str,
        anchor: int,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Make and keep all membership witnesses of an anchor's range; see ``ChainIndex``.

        Raises:
            NotIndexed: no such chain or anchor.
            accumulator.Cancelled: ``cancelled`` said so.
        """
        index = self._chains().index(chain)
        index.sync()
        index.prepare_witnesses(anchor, progress, cancelled)

    def record_bundle(
        self,
        chain: str,
        record: bytes,
        holder: str | None = None,
        profile: str = "compact",
        *,
        turn: AbstractContextManager[object] = _AT_ONCE,
    ) -> Bundle:
        """Everything that proves one record.

        Args:
            chain: the edge that recorded it.
            record: record id.
            holder: whose block shall show that main's anchors are held; any other edge when None.
            profile: ``compact`` or ``full``.
            turn: held while the bundle is made, but not while the chains are asked for their newest blocks.

        Raises:
            NotIndexed: no such record or chain.
            UnsuitableHolder: the holder is no edge, or the one that recorded it.
            Pending: an anchor is still awaited.
            LedgerError: a chain that is needed failed. Others may.
        """
        chains = self._chains()
        places = place(chains, chain, [record])
        chains.sync()
        gathering = Gathering(chains, _known(chains, holder))
        with turn:
            add_records(chains, gathering, chain, places)
            return gathering.finish(profile=profile, kind="record", chain=chain, subject=record.hex())

    def model_bundle(
        self, run: str, version: int, *, holder: str | None = None, profile: str = "compact"
    ) -> Bundle:
        """The whole lineage of a model version: every round from the first.

        Raises:
            NotIndexed: no such run, or the version is not accepted.
            UnsuitableHolder: the holder is no edge, or one whose own evidence is needed.
            Pending: an anchor is still awaited.
            IncompleteEvidence: a manifest cannot be had.
            LedgerError: a chain that is needed failed. Others may.
        """
        return self._lineage("model", run, range(1, version + 1), holder, profile)

    def round_bundle(
        self, run: str, number: int, *, holder: str | None = None, profile: str = "compact"
    ) -> Bundle:
        """One round: its steps, their data, its aggregate, and what they start from.

        Raises:
            NotIndexed, UnsuitableHolder, Pending, IncompleteEvidence, LedgerError: as ``model_bundle``.
        """
        return self._lineage("round", run, range(number, number + 1), holder, profile)

    def _lineage(self, kind: str, run: str, rounds: range, holder: str | None, profile: str) -> Bundle:
        if not rounds:
            raise NotIndexed(f"run {run} has no version {rounds.stop - 1} to prove")
        chains = self._chains()
        chains.sync()
        gathering = Gathering(chains, _known(chains, holder))
        data: dict[str, dict[bytes, None]] = {}
        for found in _rounds(chains, gathering, run, rounds):
            records = self._manifest(found.chain, found.step.data)
            gathering.manifests.append(records)
            data.setdefault(found.chain, {}).update(dict.fromkeys(records))
        for chain, wanted in sorted(data.items()):
            add_records(chains, gathering, chain, place(chains, chain, list(wanted)))
        subject = f"{run}:{rounds[-1]}"
        return gathering.finish(profile=profile, kind=kind, chain=chains.main, subject=subject)

    def _manifest(self, chain: str, address: bytes) -> tuple[bytes, ...]:
        if self._manifests is None:
            raise IncompleteEvidence("no source of data sets' manifests is at hand")
        raw = self._manifests(chain, address)
        try:
            records = parse_manifest(raw)
        except EncodingError as error:
            raise IncompleteEvidence(f"manifest {address.hex()} of {chain}: {error}") from error
        if sha256(raw) != address:
            raise IncompleteEvidence(f"manifest {address.hex()} of {chain} has another digest")
        return records

    def _chains(self) -> Chains:
        return Chains(self._main, self._indexes, self._ledgers)


class _FoundStep:
    """A step of a round, with its chain."""

    def __init__(self, chain: str, step: Step) -> None:
        self.chain = chain
        self.step = step


def _known(chains: Chains, holder: str | None) -> str | None:
    """The holder that was asked for, if it is an edge that is followed here.

    Raises:
        UnsuitableHolder: it is none.
        LedgerError: it was given up.
    """
    if holder is None:
        return None
    if holder not in chains.edges:
        known = ", ".join(chains.edges)
        raise UnsuitableHolder(f"{holder} is no edge that is followed here: name one of {known}, or none")
    return chains.index(holder).chain


# ---------------------------------------------------------------------- lineage


def _rounds(chains: Chains, gathering: Gathering, run: str, rounds: range) -> list[_FoundStep]:
    """Ask for every element of the rounds' lineage; the steps that were found."""
    main = chains.main
    created = chains.index(main).find(CreateRun.FUNCTION, run)
    gathering.want(main, created)
    frozen: Run = decode_result(CreateRun, chains.index(main).element(created).payload)
    if rounds.start > 1:  # what the first round starts from: the accepted results of the one before
        for roster in frozen.rosters:
            subject = Subject.AGGREGATE if roster.chain == main else Subject.STEP
            _accepted(chains, gathering, roster.chain, subject, run, rounds.start - 1)
    steps = []
    for number in rounds:
        outcome = _accepted(chains, gathering, main, Subject.AGGREGATE, run, number)
        key = f"{run}/{number}/{outcome.attempt}"
        committed = chains.index(main).find(CommitModel.FUNCTION, key)
        gathering.want(main, committed)
        model: ModelVersion = decode_result(CommitModel, chains.index(main).element(committed).payload)
        for entry in model.inputs:
            _accepted(chains, gathering, entry.chain, Subject.STEP, run, entry.number)
            edge = chains.index(entry.chain)
            submitted = edge.find(SubmitStep.FUNCTION, f"{run}/{entry.number}/{entry.attempt}")
            gathering.want(entry.chain, submitted)
            step: Step = decode_result(SubmitStep, edge.element(submitted).payload)
            steps.append(_FoundStep(entry.chain, step))
    return steps


def _accepted(
    chains: Chains, gathering: Gathering, chain: str, subject: Subject, run: str, number: int
) -> Outcome:
    """Ask for the vote that made a subject accepted; its outcome."""
    index = chains.index(chain)
    element = index.find(ACCEPTED, f"{subject.value}/{run}/{number}")
    gathering.want(chain, element)
    outcome: Outcome = decode_result(Attest, index.element(element).payload)
    return outcome
