"""The lookup is only a cache: lost, stale, damaged or lying, it is built again and never believed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from store import FileStore, NotFound
from store.packs import Kind


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def packs(root: Path) -> list[Path]:
    return sorted(root.glob("packs/*/*.pack"))


def test_a_lost_lookup_is_built_again(store: FileStore, tmp_path: Path) -> None:
    addresses = [*store.put_pack([b"a", b"b"]), store.put(b"c")]
    tree = store.put_tree(b"tree")
    store.close()
    shutil.rmtree(tmp_path / "store" / "lookup")
    again = FileStore(tmp_path / "store")
    assert [again.get(address) for address in addresses] == [b"a", b"b", b"c"]
    assert again.get_tree(tree) == b"tree"


def test_a_lookup_lost_under_an_open_store_does_no_harm(store: FileStore, tmp_path: Path) -> None:
    first = store.put(b"first")
    shutil.rmtree(tmp_path / "store" / "lookup")
    second = store.put(b"second")
    other = FileStore(tmp_path / "store")
    assert other.get(first) == b"first"
    assert other.get(second) == b"second"
    third = other.put(b"third")
    assert store.get(third) == b"third"


def test_a_stale_lookup_is_brought_up(store: FileStore, tmp_path: Path) -> None:
    store.put(b"old")
    store.close()
    shutil.copytree(tmp_path / "store" / "lookup", tmp_path / "copy")
    new = FileStore(tmp_path / "store")
    address = new.put(b"new")
    new.close()
    shutil.rmtree(tmp_path / "store" / "lookup")
    shutil.copytree(tmp_path / "copy", tmp_path / "store" / "lookup")
    assert FileStore(tmp_path / "store").get(address) == b"new"


@pytest.mark.parametrize("damage", [b"", b"not a database", os.urandom(5000)])
def test_a_damaged_lookup_is_built_again(store: FileStore, tmp_path: Path, damage: bytes) -> None:
    addresses = store.put_pack([b"%d" % number for number in range(500)])
    store.close()
    for path in (tmp_path / "store" / "lookup").glob("lookup-*"):
        path.write_bytes(damage)
    again = FileStore(tmp_path / "store")
    assert [again.get(address) for address in addresses] == [b"%d" % number for number in range(500)]


def test_a_lookup_damaged_under_two_open_stores_is_built_again(tmp_path: Path) -> None:
    one, two = FileStore(tmp_path / "store"), FileStore(tmp_path / "store")
    addresses = [one.put(b"%d" % number * 50) for number in range(50)]
    assert all(two.has(address) for address in addresses)
    one.close()
    for path in (tmp_path / "store" / "lookup").glob("lookup-*.sqlite"):
        with path.open("r+b") as file:
            file.write(b"\xff" * 20000)
    late = one.put(b"late")
    assert two.get(late) == b"late"
    assert [two.get(address) for address in addresses] == [b"%d" % number * 50 for number in range(50)]
    assert [one.get(address) for address in addresses] == [b"%d" % number * 50 for number in range(50)]


def test_a_lookup_that_lies_is_overruled_by_the_pack(store: FileStore, tmp_path: Path) -> None:
    import sqlite3

    address = store.put_pack([b"one", b"two"])[1]
    store.close()
    (path,) = (tmp_path / "store" / "lookup").glob("lookup-*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE objects SET start = start + 1")
    connection.close()
    again = FileStore(tmp_path / "store")
    assert again.get(address) == b"two"
    assert again._lookup.places(Kind.BLOB, address)[0].length == 3


def test_a_damaged_pack_does_not_hide_the_others(store: FileStore, tmp_path: Path) -> None:
    bad, good = store.put(b"bad"), store.put(b"good")
    store.close()
    shutil.rmtree(tmp_path / "store" / "lookup")
    for path in packs(tmp_path / "store"):
        if b"bad" in path.read_bytes():
            path.write_bytes(b"rubbish")
    again = FileStore(tmp_path / "store")
    assert again.get(good) == b"good"
    with pytest.raises(NotFound):
        again.get(bad)
    assert [damage.address for damage in again.verify().damaged] == [None]
