"""A chain's index filled without a chain: as many elements and anchors as are asked for, in seconds.

Ranges that are measured hold real prime representatives and values; all others hold random numbers in their
place, which nothing reads: finding a million primes takes minutes and shows nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from fabric_protos.common import common_pb2

import accumulator
from accumulator import Parameters
from ledger.errors import BlockNotFound
from ledger.index import ChainIndex
from ledger.index_file import IndexFile
from ledger.port import ChainInformation
from protocol.anchors import AnchorStatement
from protocol.encodings import encode

__all__ = ["synthetic_index"]

_PRIME_BYTES: Final = 33


class _EmptyChain:
    """A ``BlockSource`` without a block: the index holds more than its chain."""

    chain = "edge-a"

    def blocks(self, start: int) -> Iterator[common_pb2.Block]:
        return iter(())

    def block(self, number: int) -> common_pb2.Block:
        raise BlockNotFound(f"there is no block {number}")

    def information(self) -> ChainInformation:
        return ChainInformation(self.chain, 0, bytes(32))

    def close(self) -> None:
        """There is nothing to give back."""


def synthetic_index(
    folder: Path, parameters: Parameters, elements: int, size: int, measured: Sequence[int]
) -> ChainIndex:
    """An index of ``elements`` elements, anchored every ``size`` of them.

    Args:
        folder: where its file is made.
        parameters: the chain's.
        elements: a multiple of ``size``.
        size: elements of an anchor's range.
        measured: numbers of the anchors whose ranges are real.
    """
    path = folder / f"index-{elements}.sqlite"
    file = IndexFile(path)
    source = random.Random(elements)
    with file.transaction():
        for anchor in range(1, elements // size + 1):
            first = (anchor - 1) * size + 1
            numbers = range(first, first + size)
            if anchor in measured:
                found = [accumulator.hash_to_prime(_digest(number)) for number in numbers]
                primes, offsets = [each.prime for each in found], [each.offset for each in found]
            else:
                primes, offsets = [source.getrandbits(256) | 1 << 255 | 1 for _ in numbers], [0] * size
            file.change_many(
                "INSERT INTO element VALUES (?, ?, 0, 0, ?, x'', '', ?, ?, ?)",
                [
                    (
                        number,
                        number,
                        _digest(number),
                        f"{number:064x}",
                        prime.to_bytes(_PRIME_BYTES, "big"),
                        off,
                    )
                    for number, prime, off in zip(numbers, primes, offsets, strict=True)
                ],
            )
            before = parameters.hash_to_group("edgeproof/benchmark", anchor.to_bytes(8, "big"))
            after = accumulator.accumulate(parameters, before, primes) if anchor in measured else before
            statement = AnchorStatement(
                chain=parameters.chain,
                number=anchor,
                first=first,
                last=first + size - 1,
                news=size,
                height=first + size,
                header_hash=bytes(32),
                parameters=parameters.digest,
                value_before=accumulator.encode_value(parameters, before),
                value_after=accumulator.encode_value(parameters, after),
                tree_root=bytes(32),
                latest=(),
            )
            file.change(
                "INSERT INTO statement VALUES (?, ?, ?, ?, NULL)",
                anchor, statement.first, statement.last, encode(statement),
            )  # fmt: skip
    file.close()
    return ChainIndex(_EmptyChain(), parameters, path)


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"synthetic %d" % number).digest()
