"""The fold from a chain's blocks to its anchor statements: pure, and the only one there is.

Anchor signers, provers and auditors all feed it blocks in order. It numbers every envelope, grows the RFC
6962 tree, counts news, and gathers prime representatives; when it meets a valid cut it states what the chain
was before the block that carries the cut (seed 003, section IV.A, Update). Accumulating waits for the cut:
one product tree and one power a range instead of one power an element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fabric_protos.common import common_pb2

from accumulator import Parameters, PrimeRepresentative, accumulate, decode_value, encode_value, hash_to_prime
from accumulator.errors import AccumulatorError
from protocol.anchors import AnchorStatement, LatestAnchor
from protocol.blocks import check_linkage, header_hash
from protocol.elements import Element, ElementView, element_of, is_news, result_of, views
from protocol.encodings import from_json
from protocol.errors import InvalidBlock, InvalidStatement, SchemaMismatch
from protocol.merkle import Frontier

__all__ = ["AnchoredRange", "ChainState", "ChainStateSnapshot", "Fed"]

MAIN: Final = "main"
"""Id of the main chain."""
CUT: Final = "interlock:cut"
_PRIME_BYTES: Final = 33  # a representative just above 2^256 is possible


@dataclass(frozen=True)
class AnchoredRange:
    """A statement with what its proofs are made from."""

    statement: AnchorStatement
    value_before: int
    primes: tuple[int, ...]
    """Prime representatives of elements ``statement.first`` to ``statement.last``, in order."""
    value_after: int


@dataclass(frozen=True)
class Fed:
    """What one block brought."""

    elements: tuple[Element, ...]
    """The block's own elements, in order."""
    statements: tuple[AnchorStatement, ...]
    """Statements of the cut in this block (none or one); they cover the blocks before it."""
    views: tuple[ElementView, ...]
    """One an element."""
    digests: tuple[bytes, ...]
    """Element digests: leaves of the tree."""
    representatives: tuple[PrimeRepresentative, ...]
    """Prime and certificate of each element."""
    ranges: tuple[AnchoredRange, ...]
    """One a statement."""


@dataclass(frozen=True)
class ChainStateSnapshot:
    """All of a ``ChainState``, for the canonical codec."""

    chain: str
    main: bool
    parameters: bytes
    """Digest of the accumulator parameters."""
    height: int
    header_hash: bytes
    """Of block height - 1; empty before block 0."""
    tree_nodes: tuple[bytes, ...]
    """Frontier of the tree over all elements."""
    elements: int
    anchor: int
    """Number of the newest statement, 0 before the first."""
    anchored: int
    """Last element that it covers."""
    news: int
    """News after that element."""
    value: bytes
    """Accumulator value at that element."""
    primes: tuple[bytes, ...]
    """Prime representatives after that element, 33 bytes each."""


class ChainState:
    """Where the fold stands. ``feed`` is all or nothing: a block that is refused changes nothing.

    Args:
        chain: the chain's id.
        parameters: its accumulator parameters.
        main: whether this is the main chain (which decides what is news); by its id when None.

    Raises:
        ValueError: parameters of another chain.
    """

    def __init__(self, chain: str, parameters: Parameters, *, main: bool | None = None) -> None:
        if parameters.chain != chain:
            raise ValueError(f"parameters of {parameters.chain} for chain {chain}")
        self.chain: Final = chain
        self.parameters: Final = parameters
        self.main: Final = chain == MAIN if main is None else main
        self._height = 0
        self._header_hash = b""
        self._tree = Frontier()
        self._anchor = 0
        self._anchored = 0
        self._news = 0
        self._value = parameters.generator
        self._primes: list[int] = []

    @property
    def height(self) -> int:
        """Number of the block that is fed next."""
        return self._height

    @property
    def header_hash(self) -> bytes:
        """Hash of the newest block's header; empty before block 0."""
        return self._header_hash

    @property
    def elements(self) -> int:
        """How many elements there are: also the newest one's number."""
        return self._tree.size

    @property
    def anchor(self) -> int:
        """Number of the newest statement, 0 before the first."""
        return self._anchor

    @property
    def anchored(self) -> int:
        """Last element that the newest statement covers, 0 before the first."""
        return self._anchored

    @property
    def news(self) -> int:
        """How many elements after the newest statement's range are news."""
        return self._news

    @property
    def value(self) -> int:
        """Accumulator value of the newest statement (the generator before the first)."""
        return self._value

    @property
    def primes(self) -> tuple[int, ...]:
        """Prime representatives of the elements after the newest statement's range."""
        return tuple(self._primes)

    def feed(self, block: common_pb2.Block) -> Fed:
        """Take the next block.

        A cut in block b is taken before the block's own elements: it covers blocks 0 to b - 1. Only a valid
        ``interlock:cut`` with the next number counts, and one in a block at most.

        Cost: two or three hashes and a prime search an element; one power of 256 bits an element at the cut.

        Raises:
            InvalidBlock: not the next block, not linked to the one before, or without validation codes.
            InvalidStatement: a cut whose result cannot be read.
        """
        number = block.header.number
        if number != self._height:
            raise InvalidBlock(f"block {number} where block {self._height} of {self.chain} is next")
        check_linkage(block, self._header_hash)
        seen = views(block)
        ranges = self._ranges(seen)
        first = self._tree.size + 1
        elements = tuple(element_of(self.chain, first + at, view) for at, view in enumerate(seen))
        digests = tuple(element.digest() for element in elements)
        representatives = tuple(hash_to_prime(digest) for digest in digests)
        # Nothing below fails: the state changes as a whole.
        for anchored in ranges:
            self._anchor = anchored.statement.number
            self._anchored = anchored.statement.last
            self._value = anchored.value_after
            self._news = 0
            self._primes = []
        for digest in digests:
            self._tree.append(digest)
        self._news += sum(is_news(view, self.main) for view in seen)
        self._primes.extend(representative.prime for representative in representatives)
        self._height = number + 1
        self._header_hash = header_hash(block.header)
        statements = tuple(anchored.statement for anchored in ranges)
        return Fed(elements, statements, tuple(seen), digests, representatives, ranges)

    def _ranges(self, seen: Sequence[ElementView]) -> tuple[AnchoredRange, ...]:
        if not self._primes:
            return ()  # block 0: there is nothing yet that a cut could cover
        for view in seen:
            result = result_of(view, CUT)
            number = result.get("number") if result is not None else None
            if result is not None and number == self._anchor + 1 and number is not True:  # True == 1
                return (self._state(_latest(result)),)
        return ()

    def _state(self, latest: tuple[LatestAnchor, ...]) -> AnchoredRange:
        value_after = accumulate(self.parameters, self._value, self._primes)
        statement = AnchorStatement(
            chain=self.chain,
            number=self._anchor + 1,
            first=self._anchored + 1,
            last=self._tree.size,
            news=self._news,
            height=self._height,
            header_hash=self._header_hash,
            parameters=self.parameters.digest,
            value_before=encode_value(self.parameters, self._value),
            value_after=encode_value(self.parameters, value_after),
            tree_root=self._tree.root(),
            latest=latest,
        )
        return AnchoredRange(statement, self._value, tuple(self._primes), value_after)

    def snapshot(self) -> ChainStateSnapshot:
        """The state as a message of the canonical codec. Cost: linear in the elements since the last cut."""
        return ChainStateSnapshot(
            chain=self.chain,
            main=self.main,
            parameters=self.parameters.digest,
            height=self._height,
            header_hash=self._header_hash,
            tree_nodes=self._tree.nodes,
            elements=self._tree.size,
            anchor=self._anchor,
            anchored=self._anchored,
            news=self._news,
            value=encode_value(self.parameters, self._value),
            primes=tuple(prime.to_bytes(_PRIME_BYTES, "big") for prime in self._primes),
        )

    @classmethod
    def restore(cls, snapshot: ChainStateSnapshot, parameters: Parameters) -> ChainState:
        """The state that ``snapshot`` wrote. Its primes are taken on trust: it is the caller's own file.

        Raises:
            SchemaMismatch: other parameters, or a snapshot that does not hold together.
        """
        if snapshot.parameters != parameters.digest or snapshot.chain != parameters.chain:
            raise SchemaMismatch(f"a snapshot of {snapshot.chain} under other parameters")
        if snapshot.anchored + len(snapshot.primes) != snapshot.elements:
            raise SchemaMismatch(f"{len(snapshot.primes)} primes for {snapshot.elements - snapshot.anchored}")
        state = cls(snapshot.chain, parameters, main=snapshot.main)
        try:
            state._tree = Frontier(snapshot.elements, snapshot.tree_nodes)
            state._value = decode_value(parameters, snapshot.value)
        except (ValueError, AccumulatorError) as error:
            raise SchemaMismatch(f"the snapshot of {snapshot.chain}: {error}") from error
        state._height = snapshot.height
        state._header_hash = snapshot.header_hash
        state._anchor = snapshot.anchor
        state._anchored = snapshot.anchored
        state._news = snapshot.news
        state._primes = [int.from_bytes(prime, "big") for prime in snapshot.primes]
        return state


def _latest(result: dict[str, Any]) -> tuple[LatestAnchor, ...]:
    try:
        return from_json(_LatestList, {"latest": result.get("latest")}).latest
    except SchemaMismatch as error:
        raise InvalidStatement(f"the result of a valid cut: {error}") from error


@dataclass(frozen=True)
class _LatestList:
    latest: tuple[LatestAnchor, ...]
