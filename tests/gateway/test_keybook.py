"""The key book remembers across processes, and forgets what is old."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from gateway.keybook import _FORGET, KeyBook, KeyUse
from gateway.problems import Refusal


def found(book: KeyBook, device: str, key: str) -> bytes | None:
    return book.find([(device, key)]).get((device, key))


def test_remembers_across_openings(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "state" / "keys.sqlite", 100)
    book.remember([KeyUse("d", "k", b"r1"), KeyUse("e", "k", b"r2")], 1000)
    book.close()
    again = KeyBook(tmp_path / "state" / "keys.sqlite", 100)
    assert found(again, "d", "k") == b"r1"
    assert found(again, "e", "k") == b"r2"
    assert found(again, "d", "other") is None
    assert found(book, "d", "k") == b"r1", "a closed book opens again"


def test_nothing_is_opened_before_it_is_used(tmp_path: Path) -> None:
    KeyBook(tmp_path / "keys.sqlite", 100)
    assert list(tmp_path.iterdir()) == []


def test_a_key_turns_to_another_record_and_is_struck_out_for_its_own_alone(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.sqlite", 100)
    book.remember([KeyUse("d", "k", b"r1")], 1000)
    book.remember([KeyUse("d", "k", b"r2")], 1001)
    book.forget([KeyUse("d", "k", b"r1")])
    assert found(book, "d", "k") == b"r2"
    book.forget([KeyUse("d", "k", b"r2")])
    assert found(book, "d", "k") is None


def test_many_are_struck_out_at_once_by_their_keys_and_not_by_reading_the_whole_book(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.sqlite", 100)
    uses = [KeyUse("meter", f"k{number}", bytes([number]) * 32) for number in range(5)]
    book.remember(uses, 0.0)
    with closing(sqlite3.connect(tmp_path / "keys.sqlite")) as connection:
        statement = "EXPLAIN QUERY PLAN " + _FORGET.format("(?, ?, ?), (?, ?, ?)")
        steps = [row[3] for row in connection.execute(statement, ("a", "b", b"c") * 2)]
    assert any(step.startswith("SEARCH keys") for step in steps), steps
    book.forget([*uses[:3], KeyUse("meter", "k4", bytes(32))])
    left = book.find([(use.device, use.key) for use in uses])
    assert left == {("meter", "k3"): uses[3].record, ("meter", "k4"): uses[4].record}
    book.close()


def test_old_keys_are_dropped(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.sqlite", 100)
    book.remember([KeyUse("d", "old", b"r")], 1000)
    book.remember([KeyUse("d", "new", b"r")], 1050)
    book.prune(1101)
    assert found(book, "d", "old") is None
    assert found(book, "d", "new") == b"r"


def test_two_books_on_one_file(tmp_path: Path) -> None:
    books = [KeyBook(tmp_path / "keys.sqlite", 100) for _ in range(2)]
    failures: list[BaseException] = []

    def work(position: int) -> None:
        try:
            for number in range(30):
                books[position % 2].remember([KeyUse(f"d{position}", f"k{number}", b"r")], 1000)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(position,)) for position in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(found(books[0], f"d{d}", f"k{k}") == b"r" for d in range(6) for k in range(30))


def test_books_that_open_at_one_instant_do_not_refuse(tmp_path: Path) -> None:
    """SQLite refuses at once, whatever its timeout, when several turn a new file to write-ahead mode."""
    with ThreadPoolExecutor(6) as pool:
        for attempt in range(60):
            path = tmp_path / f"keys{attempt}.sqlite"
            barrier = threading.Barrier(6)

            def work(position: int, path: Path = path, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                KeyBook(path, 100).remember([KeyUse("d", f"k{position}", b"r")], 1000)

            list(pool.map(work, range(6)))


def test_many_keys_are_asked_for_at_once(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.sqlite", 100)
    assert book.find([]) == {}
    book.remember([KeyUse("d", f"k{number}", b"%d" % number) for number in range(0, 1500, 2)], 1000)
    asked = [("d", f"k{number}") for number in range(1500)] + [("e", "k0"), ("d", "k0")]
    assert book.find(asked) == {("d", f"k{number}"): b"%d" % number for number in range(0, 1500, 2)}


def test_the_file_is_private(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.sqlite", 100)
    book.remember([KeyUse("d", "k", b"r")], 1)
    assert (tmp_path / "keys.sqlite").stat().st_mode & 0o077 == 0


def test_a_damaged_book_is_a_problem_that_may_be_tried_again(tmp_path):
    path = tmp_path / "keys.sqlite"
    path.write_bytes(b"no database" * 1000)
    book = KeyBook(path, 60.0)
    with pytest.raises(Refusal) as refused:
        book.find([("sensor-7", "key")])
    assert (refused.value.problem.slug, refused.value.problem.status) == ("not-ready", 503)
    with pytest.raises(Refusal):
        book.remember([KeyUse("sensor-7", "key", bytes(32))], 0.0)
