"""Evidence for records: their batches, and what the keys of their signatures rest on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaincode.api import (
    BatchRecorded,
    EnrolDevice,
    GetRecord,
    Grant,
    GrantDelegation,
    StoredRecord,
    SubmitBatch,
    SubmitReading,
)
from chaincode.payloads import decode_result
from ledger.errors import ContractRefused
from ledger.gathering import Chains, Gathering
from ledger.index import ChainIndex
from ledger.port import evaluate_typed
from ledger.proof_errors import IncompleteEvidence, NotIndexed
from protocol.bundle import BatchEvidence, LeafEvidence
from protocol.encodings import decode, encode, sha256
from protocol.merkle import inclusion_paths, tree_root
from protocol.readings import RecordLeaf, SignedReading
from protocol.signature_base import record_id

__all__ = ["add_records", "place"]


def place(chains: Chains, chain: str, records: Sequence[bytes]) -> dict[str, list[StoredRecord]]:
    """By transaction, what the chain holds of the records."""
    ledger = chains.ledgers.get(chain)
    if ledger is None:
        raise NotIndexed(f"chain {chain} is not followed here")
    found: dict[str, list[StoredRecord]] = {}
    for record in records:
        try:
            stored: StoredRecord = evaluate_typed(ledger, GetRecord(record))
        except ContractRefused as error:
            if error.code != "not-found":
                raise
            raise NotIndexed(f"record {record.hex()} is not on {chain}") from error
        found.setdefault(stored.transaction, []).append(stored)
    return found


def add_records(
    chains: Chains, gathering: Gathering, chain: str, places: Mapping[str, Sequence[StoredRecord]]
) -> None:
    """Ask for the batches of the records and for everything that their leaves rest on."""
    index = chains.index(chain)
    for transaction, records in places.items():
        number = index.number_of(transaction)
        gathering.want(chain, number)
        gathering.batches.append(_batch(chains, chain, number, {one.index: one.leaf for one in records}))
        for stored in records:
            for key in _key_elements(index, stored.leaf.reading, number):
                gathering.want(chain, key)


def _key_elements(index: ChainIndex, reading: SignedReading, before: int) -> list[int]:
    """The device's enrolment and, where a gateway signed for it, the grant in force at element ``before``."""
    needed = [index.find(EnrolDevice.FUNCTION, reading.device)]
    if "@" in reading.keyid:
        grants = [one for one in index.find_all(GrantDelegation.FUNCTION, reading.keyid) if one < before]
        if not grants:
            raise NotIndexed(f"{index.chain} holds no grant of {reading.keyid} before element {before}")
        needed.append(grants[-1])
    return needed


def _batch(chains: Chains, chain: str, number: int, wanted: Mapping[int, RecordLeaf]) -> BatchEvidence:
    """The wanted leaves of a batch: without paths when they are all of it."""
    recorded = _recorded(chains, chain, number)
    if len(wanted) == recorded.count:
        leaves = [LeafEvidence(at, leaf, ()) for at, leaf in sorted(wanted.items())]
        return BatchEvidence(chain, number, tuple(leaves))
    encoded = [encode(leaf) for leaf in _all_leaves(chains, chain, number, wanted)]
    if tree_root(encoded) != recorded.root:
        raise IncompleteEvidence(f"the batch of element {number} of {chain} cannot be put together again")
    paths = list(inclusion_paths(encoded))
    return BatchEvidence(
        chain, number, tuple(LeafEvidence(at, leaf, paths[at]) for at, leaf in sorted(wanted.items()))
    )


def _recorded(chains: Chains, chain: str, number: int) -> BatchRecorded:
    element = chains.index(chain).element(number)
    kind = SubmitReading if element.function == SubmitReading.FUNCTION else SubmitBatch
    recorded: BatchRecorded = decode_result(kind, element.payload)
    return recorded


def _all_leaves(chains: Chains, chain: str, number: int, known: Mapping[int, RecordLeaf]) -> list[RecordLeaf]:
    """Every leaf of a batch, from the transaction's argument and the keys in force."""
    index = chains.index(chain)
    readings = decode(SubmitBatch, chains.view(chain, number).argument).readings
    fingerprints: dict[str, bytes] = {}
    leaves = []
    for position, reading in enumerate(readings):
        leaf = known.get(position)
        if leaf is None:
            if reading.keyid not in fingerprints:
                fingerprints[reading.keyid] = _fingerprint(index, reading, number)
            leaf = RecordLeaf(record_id(chain, reading), fingerprints[reading.keyid], reading)
        leaves.append(leaf)
    return leaves


def _fingerprint(index: ChainIndex, reading: SignedReading, before: int) -> bytes:
    enrolled, *granted = _key_elements(index, reading, before)
    if granted:
        grant: Grant = decode_result(GrantDelegation, index.element(granted[0]).payload)
        return sha256(grant.key)
    return sha256(decode_result(EnrolDevice, index.element(enrolled).payload).key)
