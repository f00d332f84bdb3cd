"""The cache of membership witnesses over ranges made by hand (what it does over chains: test_index.py)."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from world import DEALER

import accumulator
from accumulator import Cancelled, Parameters, pools
from ledger import witnesses
from ledger.index_file import IndexFile
from ledger.witnesses import WITNESS_LIMIT, WitnessCache
from protocol.anchors import AnchorStatement
from protocol.encodings import sha256

PARAMETERS = Parameters(DEALER, "edge-a")
SIZE = 70
PRIMES = [accumulator.hash_to_prime(sha256(b"%d" % number)).prime for number in range(2 * SIZE)]


def statement(number: int, before: int) -> AnchorStatement:
    first = (number - 1) * SIZE + 1
    after = accumulator.accumulate(PARAMETERS, before, PRIMES[first - 1 : first - 1 + SIZE])
    return AnchorStatement(
        chain="edge-a",
        number=number,
        first=first,
        last=first + SIZE - 1,
        news=SIZE,
        height=number,
        header_hash=bytes(32),
        parameters=PARAMETERS.digest,
        value_before=accumulator.encode_value(PARAMETERS, before),
        value_after=accumulator.encode_value(PARAMETERS, after),
        tree_root=bytes(32),
        latest=(),
    )


FIRST = statement(1, PARAMETERS.generator)
SECOND = statement(2, accumulator.decode_value(PARAMETERS, FIRST.value_after))


def cache(path: Path) -> WitnessCache:
    path.parent.mkdir(exist_ok=True)
    return WitnessCache(IndexFile(path), PARAMETERS, WITNESS_LIMIT, lambda low, high: PRIMES[low - 1 : high])


def everything(of: WitnessCache, range_of: AnchorStatement) -> list[bytes]:
    found = of.get(range_of, range(range_of.first, range_of.last + 1))
    return [found[number] for number in sorted(found)]


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    made = accumulator.all_membership_witnesses(PARAMETERS, PARAMETERS.generator, PRIMES[:SIZE])
    return [accumulator.encode_value(PARAMETERS, witness) for witness in made]


def test_the_range_from_the_generator_has_a_table_that_is_kept(tmp_path: Path, expected: list[bytes]) -> None:
    tables = tmp_path / "tables"
    one = cache(tmp_path / "one")
    one.get(SECOND, range(SECOND.first, SECOND.first + 9))
    assert one.get(FIRST, [1]) == {1: expected[0]}
    assert not tables.exists()  # a later range has none; one witness is done before a table is
    assert one.get(FIRST, [2]) == {2: expected[1]}
    (table,) = tables.iterdir()
    made = table.stat()
    assert everything(one, FIRST) == everything(cache(tmp_path / "two"), FIRST) == expected
    assert [each.stat().st_ino for each in tables.iterdir()] == [made.st_ino]  # loaded, not built again


def test_a_damaged_table_is_built_anew(tmp_path: Path, expected: list[bytes]) -> None:
    assert everything(cache(tmp_path / "one"), FIRST) == expected
    (table,) = (tmp_path / "tables").iterdir()
    whole = table.read_bytes()
    table.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert everything(cache(tmp_path / "two"), FIRST) == expected
    assert table.read_bytes() == whole


def test_where_no_table_can_be_kept_nothing_is_lost_but_time(tmp_path: Path, expected: list[bytes]) -> None:
    (tmp_path / "tables").write_text("in the way")
    one = cache(tmp_path / "one")
    assert one.get(FIRST, [1, 2]) == {1: expected[0], 2: expected[1]}
    assert everything(one, FIRST) == expected


def test_a_table_is_dropped_once_its_range_is_opened(tmp_path: Path) -> None:
    one = cache(tmp_path / "one")
    one.get(FIRST, [1, 2])
    held = one._ranges[1]
    assert held._table is not None
    everything(one, FIRST)
    assert held._table is None
    assert held._lazy is not None
    assert held._lazy._table is None


def test_a_long_range_is_prepared_by_processes_and_goes_on_where_it_was_stopped(
    tmp_path: Path, expected: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnesses, "_POOLED", SIZE)
    monkeypatch.setattr(pools, "_SMALL", 8)
    monkeypatch.setattr(pools, "_GROUP", 4)
    started = []
    monkeypatch.setattr(
        pools, "ProcessPoolExecutor", lambda *_, **__: started.append(1) or ThreadPoolExecutor(2)
    )
    one, seen = cache(tmp_path / "one"), []

    def progress(made: int, whole: int) -> None:
        seen.append((made, whole))

    one.get(FIRST, [5])
    with pytest.raises(Cancelled):
        one.prepare(FIRST, progress, lambda: len(seen) >= 3)
    assert started
    stopped = len(one._kept(range(1, SIZE + 1)))
    assert 1 < stopped < SIZE
    assert seen[-1] == (stopped, SIZE)
    one.prepare(FIRST, progress)
    assert seen[-1] == (SIZE, SIZE)
    kept = one._kept(range(1, SIZE + 1))
    assert [kept[number] for number in range(1, SIZE + 1)] == expected
    seen.clear()
    one.prepare(FIRST, progress)
    assert seen == [(SIZE, SIZE)]
