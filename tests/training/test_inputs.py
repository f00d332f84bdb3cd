"""Inputs out of chain and store: recorded, untouched, or a typed refusal."""

from __future__ import annotations

from collections import Counter

import pytest
from training_play import ArithmeticWorker, MemoryStore, Play, stage

from protocol.commitments import manifest_bytes
from store import FileStore
from store.errors import Unavailable
from training.errors import BadManifest, NotRecorded, SnapshotError, Withheld
from training.inputs import InputReader, fetch_blob, fetch_tree
from training.recipe import default_recipe
from training.snapshots import initial_snapshot

RECIPE = default_recipe("logistic")


@pytest.fixture(scope="module")
def play(tmp_path_factory) -> Play:
    made = stage(tmp_path_factory.mktemp("world"), ArithmeticWorker())
    yield made
    made.world.close()


class CountingLedger:
    """Counts evaluations."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.chain = inner.chain
        self.calls: Counter[str] = Counter()

    def evaluate(self, message):
        self.calls[message.FUNCTION] += 1
        return self._inner.evaluate(message)


def test_each_record_is_asked_for_once(play):
    ledger = CountingLedger(play.world.ledgers["edge-a"])
    store = play.stores["edge-a"]
    records = play.world.records["edge-a"]
    reader = InputReader(ledger, store)
    for count in (4, 6, 6):
        data = reader.data_set(RECIPE, store.put(manifest_bytes(records[:count])))
        assert (data.examples, data.excluded) == (count, 0)
    assert ledger.calls == {"records:get": 6}


@pytest.mark.parametrize("what", ["never recorded", "recorded on another edge"])
def test_a_record_must_stand_on_this_chain(play, what):
    foreign = play.world.records["edge-b"][0] if what.endswith("edge") else b"\x05" * 32
    store = play.stores["edge-a"]
    reader = InputReader(play.world.ledgers["edge-a"], store)
    with pytest.raises(NotRecorded):
        reader.data_set(RECIPE, store.put(manifest_bytes([*play.world.records["edge-a"], foreign])))


def test_the_content_is_what_the_device_signed(play, tmp_path):
    # Other bytes than the digest's are caught by the store itself: real files, one character flipped.
    store = FileStore(tmp_path)
    records = play.world.records["edge-a"]
    contents = [content for content in play.stores["edge-a"].blobs.values() if content.startswith(b"{")]
    store.put_pack(contents)
    address = store.put(manifest_bytes(records))
    InputReader(play.world.ledgers["edge-a"], store).data_set(RECIPE, address)
    pack = max(
        (p for p in tmp_path.rglob("*") if p.is_file()), key=lambda p: p.read_bytes().count(b'"pixels"')
    )
    raw = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(raw.replace(b'"pixels":[0', b'"pixels":[1', 1))
    assert pack.read_bytes() != raw
    with pytest.raises(Withheld):
        InputReader(play.world.ledgers["edge-a"], FileStore(tmp_path)).data_set(RECIPE, address)


def test_manifests_and_snapshots_that_are_none(play):
    store = MemoryStore()
    reader = InputReader(play.world.ledgers["edge-a"], store)
    with pytest.raises(Withheld):
        reader.manifest(b"\x01" * 32)
    with pytest.raises(BadManifest):
        reader.manifest(store.put(b"[]"))
    with pytest.raises(Withheld):
        reader.snapshot(RECIPE, b"\x01" * 32, "weights")
    with pytest.raises(SnapshotError):
        reader.snapshot(RECIPE, store.put_tree(initial_snapshot(default_recipe("mlp"))), "weights")
    data = initial_snapshot(RECIPE)
    assert reader.snapshot(RECIPE, store.put_tree(data), "weights") == data


def test_a_store_out_of_order_is_not_a_withheld_input():
    class Broken(MemoryStore):
        def _get(self, held, address):
            raise Unavailable("disk")

    for fetch in (fetch_blob, fetch_tree):
        with pytest.raises(Unavailable):
            fetch(Broken(), b"\x01" * 32, "anything")
