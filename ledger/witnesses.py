"""Membership witnesses, made a range at a time and kept within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

import accumulator
from accumulator import Parameters
from ledger.index_file import IndexFile
from protocol.anchors import AnchorStatement

__all__ = ["WITNESS_LIMIT", "WitnessCache"]

WITNESS_LIMIT: Final = 1 << 16
"""Witnesses kept by default; about 17 MiB at 2048 bits."""
_SMALL_RANGE: Final = 64


class WitnessCache:
    """The witnesses of one chain's elements, each against the first anchor that covers it.

    Args:
        file: where they are kept.
        parameters: the chain's.
        limit: how many are kept; whole ranges go, oldest anchors first.
        primes: gives the prime representatives of elements by first and last number.
    """

    def __init__(
        self, file: IndexFile, parameters: Parameters, limit: int, primes: Callable[[int, int], Sequence[int]]
    ) -> None:
        self._file: Final = file
        self._parameters: Final = parameters
        self._limit: Final = limit
        self._primes: Final = primes
        self._singles: dict[int, int] = {}

    def get(self, statement: AnchorStatement, members: Sequence[int]) -> dict[int, bytes]:
        """Encoded witnesses of elements ``members``, all in the statement's range.

        Cost: nothing for what is kept. One witness costs a power by the whole range, all of them about
        log2(size) such powers: so single ones are made first, and all of them once that has cost as much.
        """
        rows = self._file.all(
            "SELECT number, witness FROM membership_witness WHERE number IN (SELECT value FROM json_each(?))",
            json.dumps(list(members)),
        )
        found = {int(number): bytes(witness) for number, witness in rows}
        missing = [number for number in members if number not in found]
        return found | self._make(statement, missing) if missing else found

    def _make(self, statement: AnchorStatement, missing: Sequence[int]) -> dict[int, bytes]:
        anchor = statement.number
        primes = self._primes(statement.first, statement.last)
        before = accumulator.decode_value(self._parameters, statement.value_before)
        self._singles[anchor] = self._singles.get(anchor, 0) + len(missing)
        if len(primes) > _SMALL_RANGE and self._singles[anchor] < len(primes).bit_length():
            made = {
                number: accumulator.membership_witness(
                    self._parameters, before, primes, number - statement.first
                )
                for number in missing
            }
        else:
            everyone = accumulator.all_membership_witnesses(self._parameters, before, primes)
            made = dict(enumerate(everyone, statement.first))
            self._singles.pop(anchor, None)
        encoded = {number: accumulator.encode_value(self._parameters, one) for number, one in made.items()}
        with self._file.transaction():
            self._file.change_many(
                "INSERT OR IGNORE INTO membership_witness VALUES (?, ?, ?)",
                [(number, anchor, witness) for number, witness in encoded.items()],
            )
            self._shrink(anchor)
        return {number: encoded[number] for number in missing}

    def _shrink(self, keep: int) -> None:
        """Drop whole ranges, oldest anchors first, until the limit holds; never the one just made."""
        row = self._file.one("SELECT count(*) FROM membership_witness")
        count = int(row[0]) if row else 0
        while count > self._limit:
            oldest = self._file.one("SELECT min(anchor) FROM membership_witness WHERE anchor <> ?", keep)
            if oldest is None or oldest[0] is None:
                return
            count -= self._file.change("DELETE FROM membership_witness WHERE anchor = ?", oldest[0])
