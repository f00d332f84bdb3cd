"""The file store: durable, verified, shared by processes, and indifferent to its lookup."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import CHUNK_BYTES, Corrupt, FileStore, NotFound, Store, TooLarge, Unavailable
from store.packs import MAX_OBJECT_BYTES, Kind, build_header


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def packs(root: Path) -> list[Path]:
    return sorted(root.glob("packs/*/*.pack"))


def test_what_is_put_comes_back(store: FileStore) -> None:
    port: Store = store
    address = port.put(b"reading")
    assert address == sha256(b"reading").digest()
    assert port.get(address) == b"reading"
    assert port.has(address)
    assert not port.has(bytes(32))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=st.lists(st.binary(max_size=200), min_size=1, max_size=20))
def test_a_pack_gives_each_item_its_own_address(store: FileStore, items: list[bytes]) -> None:
    addresses = store.put_pack(items)
    assert addresses == [sha256(item).digest() for item in items]
    assert [store.get(address) for address in addresses] == items


def test_a_batch_is_one_file(store: FileStore, tmp_path: Path) -> None:
    store.put_pack([bytes([number]) * 10 for number in range(100)])
    assert len(packs(tmp_path / "store")) == 1


def test_an_empty_batch_writes_nothing(store: FileStore, tmp_path: Path) -> None:
    assert store.put_pack([]) == []
    assert packs(tmp_path / "store") == []


def test_putting_again_writes_nothing(store: FileStore, tmp_path: Path) -> None:
    store.put_pack([b"a", b"b"])
    before = packs(tmp_path / "store")
    assert store.put_pack([b"b", b"a", b"b"]) == [sha256(item).digest() for item in (b"b", b"a", b"b")]
    assert packs(tmp_path / "store") == before


def test_the_same_item_twice_in_a_batch_is_kept_once(store: FileStore, tmp_path: Path) -> None:
    store.put_pack([b"x" * 1000] * 50)
    (pack,) = packs(tmp_path / "store")
    assert pack.stat().st_size < 2000


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * CHUNK_BYTES + 17])
def test_a_tree_comes_back(store: FileStore, size: int) -> None:
    data = os.urandom(size)
    address = store.put_tree(data)
    assert store.has_tree(address)
    assert store.get_tree(address) == data
    assert store.put_tree(data) == address


def test_a_tree_of_two_chunks_has_the_address_of_rfc_6962(store: FileStore) -> None:
    first, second = b"a" * CHUNK_BYTES, b"b"
    leaves = [sha256(b"\x00" + chunk).digest() for chunk in (first, second)]
    assert store.put_tree(first + second) == sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert store.put_tree(b"") == sha256(b"").digest()


def test_blobs_and_trees_do_not_answer_for_each_other(store: FileStore) -> None:
    address = store.put(b"blob")
    with pytest.raises(NotFound):
        store.get_tree(address)
    tree = store.put_tree(b"tree")
    with pytest.raises(NotFound):
        store.get(tree)


def test_what_is_not_held_is_not_found(store: FileStore) -> None:
    with pytest.raises(NotFound, match="ab" * 32):
        store.get(b"\xab" * 32)


def test_an_altered_byte_is_named(store: FileStore, tmp_path: Path) -> None:
    good, bad = store.put_pack([b"first object", b"second object"])
    (pack,) = packs(tmp_path / "store")
    raw = bytearray(pack.read_bytes())
    raw[-1] ^= 1
    pack.write_bytes(raw)
    assert store.get(good) == b"first object"
    with pytest.raises(Corrupt) as caught:
        store.get(bad)
    assert caught.value.address == bad
    assert caught.value.file == str(pack.relative_to(tmp_path / "store"))
    assert bad.hex() in str(caught.value)
    assert pack.name in str(caught.value)


@pytest.mark.parametrize("position", range(0, 130, 3))
def test_any_altered_byte_of_a_small_pack_is_seen(tmp_path: Path, position: int) -> None:
    store = FileStore(tmp_path / "store")
    address = store.put(b"0123456789" * 5)
    (pack,) = packs(tmp_path / "store")
    raw = bytearray(pack.read_bytes())
    assert len(raw) > position
    raw[position] ^= 0x40
    pack.write_bytes(raw)
    report = store.verify()
    assert [damage.file for damage in report.damaged] == [str(pack.relative_to(tmp_path / "store"))]
    if position < 12 + 41 + 32:  # the head: the lookup still finds the object, whose bytes are sound
        assert store.get(address) == b"0123456789" * 5
        assert report.damaged[0].address is None
    else:
        assert report.damaged[0].address == address
        with pytest.raises(Corrupt):
            store.get(address)


def test_a_damaged_object_is_healed_by_putting_it_again(store: FileStore, tmp_path: Path) -> None:
    address, other = store.put_pack([b"precious", b"other"])
    (pack,) = packs(tmp_path / "store")
    pack.write_bytes(pack.read_bytes().replace(b"precious", b"precioux"))
    with pytest.raises(Corrupt):
        store.get(address)
    assert store.put(b"precious") == address
    assert store.get(address) == b"precious"
    assert store.get(other) == b"other"
    assert FileStore(tmp_path / "store").get(address) == b"precious"


def test_a_cut_pack_is_corrupt_and_one_too_long_is_reported(store: FileStore, tmp_path: Path) -> None:
    address = store.put(b"y" * 100)
    (pack,) = packs(tmp_path / "store")
    raw = pack.read_bytes()
    pack.write_bytes(raw[:-1])
    with pytest.raises(Corrupt, match="cut short"):
        store.get(address)
    pack.write_bytes(raw + b"z")
    assert store.get(address) == b"y" * 100
    assert "too many" in store.verify().damaged[0].reason


def test_a_pack_that_is_gone_is_not_found(store: FileStore, tmp_path: Path) -> None:
    address = store.put(b"gone")
    packs(tmp_path / "store")[0].unlink()
    assert not store.has(address)
    with pytest.raises(NotFound, match="gone"):
        store.get(address)
    assert store.put(b"gone") == address
    assert store.get(address) == b"gone"


def test_a_pack_under_another_packs_name_is_corrupt(store: FileStore, tmp_path: Path) -> None:
    one, two = store.put(b"one"), store.put(b"two")
    paths = packs(tmp_path / "store")
    a, b = (path.read_bytes() for path in paths)
    paths[0].write_bytes(b)
    paths[1].write_bytes(a)
    for address in (one, two):
        with pytest.raises(Corrupt):
            store.get(address)
    assert len(store.verify().damaged) == 2


def test_a_sound_store_verifies(store: FileStore) -> None:
    store.put_pack([b"a", b"bb"])
    store.put_tree(b"ccc")
    report = store.verify()
    assert (report.packs, report.objects, report.size, report.damaged) == (2, 3, 6, ())


# ------------------------------------------------------------------ several at once


def test_two_stores_see_each_others_packs(tmp_path: Path) -> None:
    one, two = FileStore(tmp_path / "store"), FileStore(tmp_path / "store")
    for number in range(20):
        address = one.put(b"from one %d" % number)
        assert two.get(address) == b"from one %d" % number
        address = two.put(b"from two %d" % number)
        assert one.has(address)


def test_a_pack_beside_the_lookup_is_found(store: FileStore, tmp_path: Path) -> None:
    """As after a kill between the pack's name and the lookup's row."""
    other = FileStore(tmp_path / "other")
    address = other.put(b"carried")
    assert not store.has(address)
    (pack,) = packs(tmp_path / "other")
    shutil.copy(pack, tmp_path / "store" / pack.relative_to(tmp_path / "other"))
    assert store.get(address) == b"carried"


def test_threads_share_one_store(store: FileStore) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for number in range(20):
                data = [b"%d %d" % (seed % 3, number), b"own %d %d" % (seed, number)]
                assert [store.get(address) for address in store.put_pack(data)] == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.verify().damaged == ()


def _write_many(root: Path, seed: int) -> None:
    store = FileStore(root)
    for number in range(30):
        store.put_pack([b"shared %d" % number, b"own %d %d" % (seed, number)])


def test_processes_share_one_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(tmp_path / "store", seed)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    store = FileStore(tmp_path / "store")
    for number in range(30):
        assert store.has(sha256(b"shared %d" % number).digest())
        assert all(store.has(sha256(b"own %d %d" % (seed, number)).digest()) for seed in range(3))
    assert store.verify().damaged == ()


# ------------------------------------------------------------------ the file system's troubles


def test_an_unwritable_store_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable):
        FileStore(tmp_path / "file")


def test_no_temporary_file_stays(store: FileStore, tmp_path: Path) -> None:
    store.put_pack([b"a"])
    assert list((tmp_path / "store" / "temporary").iterdir()) == []


def test_old_temporary_files_are_swept_and_young_ones_left(tmp_path: Path) -> None:
    FileStore(tmp_path / "store")
    old, young = (tmp_path / "store" / "temporary" / name for name in ("old", "young"))
    old.write_bytes(b"")
    young.write_bytes(b"")
    os.utime(old, (1, 1))
    FileStore(tmp_path / "store")
    assert not old.exists()
    assert young.exists()


def test_files_are_private(store: FileStore, tmp_path: Path) -> None:
    store.put(b"secret")
    for path in (tmp_path / "store").rglob("*"):
        if path.suffix in (".pack", ".sqlite"):
            assert path.stat().st_mode & 0o077 == 0


def test_a_pack_has_limits() -> None:
    with pytest.raises(TooLarge):
        build_header([])
    with pytest.raises(TooLarge):
        build_header([(Kind.BLOB, bytes(32), MAX_OBJECT_BYTES + 1)])


def test_bytes_are_forced_to_disk_before_the_name_and_the_name_before_the_answer(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill cannot show this (the page cache outlives a process); the order of the calls does."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recording_fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        events.append("force folder" if target.is_dir() else "force file")
        fsync(descriptor)

    def recording_replace(path: Path, target: Path) -> Path:
        if target.suffix == ".pack":
            events.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "replace", recording_replace)
    store.put_pack([b"a", b"b", b"c"])
    assert events == ["force file", "name", "force folder"]
    events.clear()
    address = store.put(b"elsewhere")
    FileStore(tmp_path / "store").get(address)
    assert events == ["force file", "name", "force folder"]


def test_a_pack_that_another_process_may_not_have_forced_is_forced_before_it_is_relied_on(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FileStore(tmp_path / "other")
    address = other.put(b"carried")
    (pack,) = packs(tmp_path / "other")
    target = tmp_path / "store" / pack.relative_to(tmp_path / "other")
    assert not store.has(address)
    shutil.copy(pack, target)
    forced: list[Path] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (forced.append(Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))
    )
    assert store.has(address)
    assert target.parent in forced


def test_a_large_batch_with_known_and_new_items(store: FileStore) -> None:
    old = [b"old %d" % number for number in range(1200)]
    store.put_pack(old)
    mixed = [item for pair in zip(old, [b"new" + item for item in old], strict=True) for item in pair]
    assert [store.get(address) for address in store.put_pack(mixed)] == mixed
    assert store.verify().objects == 2400
