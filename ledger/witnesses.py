"""Membership witnesses on demand, over many ranges at once, kept within bounds.

A range is opened lazily, group by group (``accumulator.LazyWitnesses``); what was made is kept in the index's
file. Threads may ask side by side: only those of one range wait for each other, and nobody holds the index's
file while he computes. The range that begins at the chain's generator has a table of its powers, built once
and kept beside the index.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import accumulator
from accumulator import Cancelled, FixedBaseTable, LazyWitnesses, Parameters
from accumulator.pools import WitnessPool
from accumulator.table_files import load_or_build_table
from ledger.index_file import IndexFile
from protocol.anchors import AnchorStatement

__all__ = ["WITNESS_LIMIT", "Progress", "WitnessCache"]

WITNESS_LIMIT: Final = 1 << 16
"""Membership witnesses kept by default; about 17 MiB at 2048 bits."""
_GROUP: Final = 64
_TABLES: Final = "tables"
_POOLED: Final = 2000
"""Elements from which on processes pay for their start."""

Progress = Callable[[int, int], None]
"""Told how many membership witnesses of how many there are now."""


class WitnessCache:
    """The membership witnesses of one chain's elements, each against the first anchor that covers it.

    Args:
        file: where they are kept.
        parameters: the chain's.
        limit: how many are kept in the file (whole ranges go, oldest anchors first), and of how many elements
            ranges are kept open in memory, about 80 bytes each (those that were asked for longest ago go);
            one range is always kept, whatever its length. The generator's table takes at most 32 MiB more,
            until its range is opened.
        primes: gives the prime representatives of elements by first and last number.
    """

    def __init__(
        self, file: IndexFile, parameters: Parameters, limit: int, primes: Callable[[int, int], Sequence[int]]
    ) -> None:
        self._file: Final = file
        self._parameters: Final = parameters
        self._limit: Final = limit
        self._primes: Final = primes
        self._lock: Final = threading.Lock()
        self._ranges: Final[OrderedDict[int, _Range]] = OrderedDict()  # by anchor, the newest use last

    def get(self, statement: AnchorStatement, members: Sequence[int]) -> dict[int, bytes]:
        """Encoded witnesses of elements ``members``, all in the statement's range.

        Cost: nothing for what is kept. The first few of a large range cost one power each; once that has cost
        as much, the range is opened, and from then on 64 witnesses cost six powers by 64 primes.
        """
        found = self._kept(members)
        missing = [number for number in members if number not in found]
        if not missing:
            return found
        of = self._range(statement)
        with of.lock:
            # Somebody else may have made them while this thread waited.
            found |= self._kept(missing)
            missing = [number for number in missing if number not in found]
            made = of.make(missing) if missing else {}
            self._keep(statement, made)
        return found | {number: made[number] for number in missing}

    def prepare(
        self,
        statement: AnchorStatement,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Make and keep all witnesses of the statement's range, group after group.

        Others may ask for the same range meanwhile. A second call goes on where the first was stopped. Long
        ranges are made by worker processes, one for each processor.

        Raises:
            Cancelled: ``cancelled`` said so; what was made is kept.
        """
        if statement.last - statement.first + 1 >= _POOLED:
            self._prepare_by_processes(statement, progress, cancelled)
            return
        of = self._range(statement)
        whole = statement.last - statement.first + 1
        for first in range(statement.first, statement.last + 1, _GROUP):
            Cancelled.raise_if(cancelled)
            members = range(first, min(first + _GROUP, statement.last + 1))
            with of.lock:
                held = self._kept(members)
                missing = [number for number in members if number not in held]
                if missing:
                    self._keep(statement, of.open(missing, cancelled))
            if progress is not None:
                progress(members[-1] - statement.first + 1, whole)

    def _prepare_by_processes(
        self,
        statement: AnchorStatement,
        progress: Progress | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        numbers = range(statement.first, statement.last + 1)
        held = self._kept(numbers)
        primes = dict(zip(numbers, self._primes(statement.first, statement.last), strict=True))
        missing = [number for number in numbers if number not in held]
        # Those that are there are accumulated first: what is missing is then a range of its own.
        before = accumulator.accumulate(
            self._parameters,
            accumulator.decode_value(self._parameters, statement.value_before),
            [primes[number] for number in held],
        )

        def keep(first: int, witnesses: Sequence[int]) -> None:
            made = zip(missing[first : first + len(witnesses)], witnesses, strict=True)
            self._keep(
                statement,
                {number: accumulator.encode_value(self._parameters, witness) for number, witness in made},
            )

        def tell(made: int, _: int) -> None:
            if progress is not None:
                progress(len(held) + made, len(numbers))

        with WitnessPool() as pool:
            pool.all_membership_witnesses(
                self._parameters,
                before,
                [primes[number] for number in missing],
                progress=tell,
                each=keep,
                cancelled=cancelled,
            )

    def _range(self, statement: AnchorStatement) -> _Range:
        with self._lock:
            of = self._ranges.pop(statement.number, None)
            if of is None:
                of = _Range(self._parameters, statement, self._primes, self._file.path.parent / _TABLES)
            self._ranges[statement.number] = of
            elements = sum(map(len, self._ranges.values()))
            while elements > self._limit and len(self._ranges) > 1:
                _, oldest = self._ranges.popitem(last=False)
                elements -= len(oldest)
            return of

    def _kept(self, members: Sequence[int]) -> dict[int, bytes]:
        rows = self._file.all(
            "SELECT number, witness FROM membership_witness WHERE number IN (SELECT value FROM json_each(?))",
            json.dumps(list(members)),
        )
        return {int(number): bytes(witness) for number, witness in rows}

    def _keep(self, statement: AnchorStatement, made: dict[int, bytes]) -> None:
        if not made:
            return
        with self._file.transaction():
            self._file.change_many(
                "INSERT OR IGNORE INTO membership_witness VALUES (?, ?, ?)",
                [(number, statement.number, witness) for number, witness in made.items()],
            )
            self._shrink(statement.number)

    def _shrink(self, keep: int) -> None:
        """Drop whole ranges, oldest anchors first, until the limit holds; never the one just made."""
        row = self._file.one("SELECT count(*) FROM membership_witness")
        count = int(row[0]) if row else 0
        while count > self._limit:
            oldest = self._file.one("SELECT min(anchor) FROM membership_witness WHERE anchor <> ?", keep)
            if oldest is None or oldest[0] is None:
                return
            count -= self._file.change("DELETE FROM membership_witness WHERE anchor = ?", oldest[0])


class _Range:
    """One anchor's range in memory; use it under its lock."""

    def __init__(
        self,
        parameters: Parameters,
        statement: AnchorStatement,
        primes: Callable[[int, int], Sequence[int]],
        tables: Path,
    ) -> None:
        self.lock: Final = threading.Lock()
        self._parameters: Final = parameters
        self._first: Final = statement.first
        self._length: Final = statement.last - statement.first + 1
        self._before: Final = accumulator.decode_value(parameters, statement.value_before)
        self._last: Final = statement.last
        self._primes: Final = primes
        self._tables: Final = tables
        self._table: FixedBaseTable | None = None
        self._held: Sequence[int] | None = None
        self._lazy: LazyWitnesses | None = None
        self._singles = 0
        # In powers by all primes: opening takes one a level of the tree, a group six by its own primes.
        self._dear: Final = (self._length // _GROUP).bit_length() + 6 * _GROUP // self._length

    def __len__(self) -> int:
        return self._length

    def make(self, missing: Sequence[int]) -> dict[int, bytes]:
        """Witnesses of ``missing``, and whatever came with them."""
        self._singles += len(missing)
        if self._lazy is None and self._singles < self._dear:
            # A table costs what one witness does without it.
            table = self._own_table() if self._singles > 1 else None
            return {
                number: self._encode(
                    accumulator.membership_witness(
                        self._parameters, self._before, self._all_primes(), number - self._first, table=table
                    )
                )
                for number in missing
            }
        return self.open(missing)

    def open(self, missing: Sequence[int], cancelled: Callable[[], bool] | None = None) -> dict[int, bytes]:
        """All witnesses of the groups that hold ``missing``.

        Raises:
            Cancelled: ``cancelled`` said so.
        """
        if self._lazy is None:
            self._lazy = LazyWitnesses(
                self._parameters,
                self._before,
                self._all_primes(),
                group=_GROUP,
                keep=1,
                table=self._own_table(),
            )
            self._held = self._table = None  # they are held in there now
        self._lazy.open(cancelled)
        made: dict[int, bytes] = {}
        for number in missing:
            if number not in made:
                first, witnesses = self._lazy.group(number - self._first)
                made |= {
                    self._first + first + place: self._encode(one) for place, one in enumerate(witnesses)
                }
        return made

    def _own_table(self) -> FixedBaseTable | None:
        """The generator's table, where the range begins there and is long enough to gain by it."""
        if self._before != self._parameters.generator or self._length <= _GROUP:
            return None
        if self._table is None:
            with contextlib.suppress(OSError):  # without it everything only takes longer
                self._table = load_or_build_table(self._parameters, self._tables, self._length)
        return self._table

    def _all_primes(self) -> Sequence[int]:
        if self._held is None:
            self._held = self._primes(self._first, self._last)
        return self._held

    def _encode(self, witness: int) -> bytes:
        return accumulator.encode_value(self._parameters, witness)
