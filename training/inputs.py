"""Fetching and checking what a step or an aggregate is computed from: out of chain and store alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from chaincode.api import GetRecord, Recipe, StoredRecord
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.signature_base import record_id
from store.errors import StoreError, Unavailable
from store.port import Store
from training.datasets import DataSet, decode_readings, read_manifest
from training.errors import NotRecorded, Withheld
from training.snapshots import read_snapshot

__all__ = ["InputReader", "fetch_blob", "fetch_tree"]

_NOT_FOUND: Final = 404
_RECORDS: Final = 1 << 20
_DATA_SETS: Final = 4


def fetch_blob(store: Store, address: bytes, what: str) -> bytes:
    """An object by its SHA-256.

    Raises:
        Withheld: the store does not give it out.
        Unavailable: the store itself does not work at present.
    """
    try:
        return store.get(address)
    except Unavailable:
        raise
    except StoreError as error:
        raise Withheld(f"{what}: {error}") from error


def fetch_tree(store: Store, address: bytes, what: str) -> bytes:
    """An object by its tree address; errors as ``fetch_blob``."""
    try:
        return store.get_tree(address)
    except Unavailable:
        raise
    except StoreError as error:
        raise Withheld(f"{what}: {error}") from error


class InputReader:
    """Reads one chain's inputs. What a chain has recorded it never takes back: checks are remembered.

    Args:
        ledger: the chain that the records stand on.
        store: where their bytes and the snapshots lie.
    """

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._digests: OrderedDict[bytes, bytes] = OrderedDict()
        self._data_sets: OrderedDict[tuple[str, bytes], DataSet] = OrderedDict()

    def manifest(self, address: bytes) -> tuple[bytes, ...]:
        """The record ids of a data set.

        Raises:
            Withheld: the manifest cannot be had.
            BadManifest: malformed, empty, or a record named twice.
        """
        return read_manifest(fetch_blob(self._store, address, "manifest"))

    def data_set(self, recipe: Recipe, address: bytes) -> DataSet:
        """The examples of a data set, each record checked against the chain.

        Raises:
            Withheld: the manifest or a reading cannot be had.
            BadManifest: see ``manifest``.
            NotRecorded: a record does not stand on this chain.
        """
        key = (recipe.data_set, address)
        found = self._data_sets.get(key)
        if found is None:
            records = self.manifest(address)
            found = decode_readings(recipe, records, self.readings(records))
            self._data_sets[key] = found
            if len(self._data_sets) > _DATA_SETS:
                self._data_sets.popitem(last=False)
        return found

    def readings(self, records: tuple[bytes, ...]) -> list[bytes]:
        """The bytes of records, in order.

        Raises:
            NotRecorded: a record does not stand on this chain.
            Withheld: a reading cannot be had.
        """
        return [
            fetch_blob(self._store, self._content_digest(record), f"record {record.hex()}")
            for record in records
        ]

    def snapshot(self, recipe: Recipe, address: bytes, what: str) -> bytes:
        """A snapshot of the recipe's model.

        Raises:
            Withheld: it cannot be had.
            SnapshotError: it is no snapshot of this model.
        """
        data = fetch_tree(self._store, address, what)
        read_snapshot(recipe, data)
        return data

    def _content_digest(self, record: bytes) -> bytes:
        known = self._digests.get(record)
        if known is not None:
            return known
        try:
            stored = evaluate_typed(self._ledger, GetRecord(record=record))
        except ContractRefused as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            raise NotRecorded(f"record {record.hex()} does not stand on {self._ledger.chain}") from refusal
        assert isinstance(stored, StoredRecord)
        reading = stored.leaf.reading
        # The id is a hash of what was signed, the content digest included: nobody's word is taken for it.
        if stored.leaf.record != record or record_id(self._ledger.chain, reading) != record:
            raise NotRecorded(
                f"record {record.hex()} is not the reading that {self._ledger.chain} shows for it"
            )
        self._digests[record] = reading.content_digest
        if len(self._digests) > _RECORDS:
            self._digests.popitem(last=False)
        return reading.content_digest
