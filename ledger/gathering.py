"""Gathering what a bundle needs: from the elements of a subject up to the blocks that hold main's anchors.

The way up is always the same (seed 003, section IV.D, Protocol 1): an element, the first anchor that covers
it, main's Type-II of that anchor, the first of main's anchors that covers that, and another edge's block that
accepted it as Type-III.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from fabric_protos.common import common_pb2

from chaincode.api import AcceptAnchor, GetAnchor
from ledger.errors import LedgerError, Unavailable
from ledger.index import ChainIndex
from ledger.lookups import ANCHOR
from ledger.port import Ledger, evaluate_typed
from ledger.proof_errors import ChainDiverged, NotIndexed, Pending, UnsuitableHolder
from protocol.anchors import SignedStatement
from protocol.bundle import BatchEvidence, BlockEvidence, Bundle, Holding, ProvenElement, assemble
from protocol.elements import ElementView, views
from protocol.encodings import decode
from protocol.errors import ProtocolError
from protocol.history import configuration_numbers

__all__ = ["Chains", "Gathering"]

_log = logging.getLogger(__name__)


@dataclass
class Chains:
    """The chains that one proof is made over, with the blocks that it reads.

    A chain that fails while its newest blocks or its anchors are asked for is no hindrance where nothing of
    it is needed: an edge that is cut off, or lies, must not keep the others from proving their records.
    """

    main: str
    indexes: Mapping[str, ChainIndex]
    ledgers: Mapping[str, Ledger]
    _blocks: dict[tuple[str, int], common_pb2.Block] = field(default_factory=dict)
    _given_up: dict[str, LedgerError] = field(default_factory=dict)
    """Why a chain is of no use for this proof."""

    @property
    def edges(self) -> list[str]:
        """Every chain but main, sorted."""
        return sorted(chain for chain in self.indexes if chain != self.main)

    def index(self, chain: str) -> ChainIndex:
        """The index of a chain.

        Raises:
            NotIndexed: no such chain.
            LedgerError: it was given up.
        """
        if chain not in self.indexes:
            raise NotIndexed(f"chain {chain} is not followed here")
        if (error := self._given_up.get(chain)) is not None:
            raise error
        return self.indexes[chain]

    def sync(self) -> None:
        """Let every index read what there is now. A chain's error waits until the chain is needed."""
        for chain, index in self.indexes.items():
            try:
                index.sync()
            except (LedgerError, ProtocolError) as error:
                self.give_up(chain, error)

    def give_up(self, chain: str, error: LedgerError | ProtocolError) -> None:
        """Ask a chain no more for this proof."""
        _log.warning("a proof is made without chain %s: %s", chain, error)
        if isinstance(error, ProtocolError):
            error = ChainDiverged(f"chain {chain} gives no blocks that can be read: {error}")
        self._given_up[chain] = error

    @property
    def given_up(self) -> Mapping[str, LedgerError]:
        """The chains that are asked no more, with the reasons."""
        return self._given_up

    def block(self, chain: str, number: int) -> common_pb2.Block:
        """One block; kept while the proof is made.

        Raises:
            LedgerError: the chain does not have it, or does not answer.
        """
        key = (chain, number)
        if key not in self._blocks:
            self._blocks[key] = self.ledgers[chain].block(number)
        return self._blocks[key]

    def view(self, chain: str, number: int) -> ElementView:
        """What can be read of element ``number``'s envelope."""
        element = self.index(chain).element(number).element
        return views(self.block(chain, element.block))[element.index]


@dataclass(frozen=True, order=True)
class _Place:
    """A transaction that accepted main's anchor."""

    size: int
    """Bytes of its block."""
    holder: str
    block: int
    index: int
    statement: SignedStatement = field(compare=False)
    """Main's, as it was accepted."""


class Gathering:
    """The parts of one bundle.

    Args:
        chains: where they come from.
        holder: the one chain whose blocks shall show that main's anchors are held; when None, edges such that
            no edge holds main's anchor for its own evidence alone.
    """

    def __init__(self, chains: Chains, holder: str | None = None) -> None:
        self._chains: Final = chains
        self._holder: Final = holder
        self._wanted: dict[str, set[int]] = defaultdict(set)
        self._statements: dict[tuple[str, int], SignedStatement] = {}
        self._carried: dict[int, set[str]] = defaultdict(set)
        """By main's anchor, the edges whose statements it carries."""
        self._holdings: dict[int, list[Holding]] = {}
        self.batches: list[BatchEvidence] = []
        self.manifests: list[tuple[bytes, ...]] = []

    def want(self, chain: str, number: int) -> None:
        """Element ``number`` is needed."""
        self._wanted[chain].add(number)

    def finish(self, *, profile: str, kind: str, chain: str, subject: str) -> Bundle:
        """Complete the way up and make the bundle.

        Raises:
            Pending: an anchor is still awaited.
            UnsuitableHolder: the holder that was named would hold its own evidence.
            LedgerError: a chain that is needed failed.
        """
        main = self._chains.main
        for edge in [name for name in self._wanted if name != main]:
            self._anchor_on_main(edge)
        for number in sorted(self._wanted[main]):
            self._hold(self._chains.index(main).covering(number))
        elements = [
            element
            for name, numbers in self._wanted.items()
            for element in self._chains.index(name).memberships(sorted(numbers))
        ]
        return assemble(
            profile=profile,
            kind=kind,
            chain=chain,
            subject=subject,
            statements=self._statements.values(),
            elements=elements,
            batches=self.batches,
            manifests=self.manifests,
            holdings=[holding for held in self._holdings.values() for holding in held],
            **self._blocks(elements if profile == "full" else []),
        )

    def _anchor_on_main(self, edge: str) -> None:
        """Statements of an edge, and main's elements that accepted them (Type-II)."""
        index = self._chains.index(edge)
        main = self._chains.index(self._chains.main)
        for anchor in sorted({index.covering(number) for number in self._wanted[edge]}):
            try:
                accepted = main.find(ANCHOR, f"{edge}/{anchor}")
            except NotIndexed as error:
                raise Pending(f"anchor {anchor} of {edge} is not on {main.chain} yet") from error
            self.want(main.chain, accepted)
            self._carried[main.covering(accepted)].add(edge)
            signed = evaluate_typed(self._chains.ledgers[main.chain], GetAnchor(edge, anchor))
            self._statements[edge, anchor] = _own(index, signed)

    def _hold(self, anchor: int) -> None:
        """Statement ``anchor`` of main, and the smallest blocks of holders that accepted it (Type-III)."""
        if anchor in self._holdings:
            return
        main = self._chains.main
        holders = self._chains.edges if self._holder is None else [self._holder]
        carried = self._carried[anchor]
        if self._holder in carried and len(self._chains.edges) > 1:
            raise UnsuitableHolder(
                f"{self._holder} cannot be the one that holds main's anchors: the evidence is its own;"
                " name another edge, or none"
            )
        chosen = _fewest(self._places(anchor, holders), carried, holders)
        if not chosen:
            for holder in holders:
                error = self._chains.given_up.get(holder)
                if error is not None and not isinstance(error, Unavailable):
                    raise error  # a fork, or damage: no waiting mends it
            awaited = sorted(set(holders) - carried) or holders
            silent = "".join(f"; {one} does not answer" for one in awaited if one in self._chains.given_up)
            raise Pending(f"anchor {anchor} of {main} is not held on {' or '.join(awaited)} yet{silent}")
        self._holdings[anchor] = []
        for place in chosen:
            self._statements[main, anchor] = place.statement
            holding = Holding(place.holder, place.block, place.index, place.statement.statement.digest())
            self._holdings[anchor].append(holding)

    def _places(self, anchor: int, holders: Sequence[str]) -> list[_Place]:
        """Where main's anchor is held, the smallest block first."""
        places: list[_Place] = []
        for holder in holders:
            if holder not in self._chains.given_up:
                try:
                    places += self._places_on(holder, anchor)
                except (LedgerError, ProtocolError) as error:
                    self._chains.give_up(holder, error)
                    if self._holder is not None:
                        raise self._chains.given_up[holder] from error
        return sorted(places)

    def _places_on(self, holder: str, anchor: int) -> list[_Place]:
        index, main = self._chains.index(holder), self._chains.index(self._chains.main)
        found = []
        for number in index.find_all(ANCHOR, f"{main.chain}/{anchor}"):
            element = index.element(number).element
            block = self._chains.block(holder, element.block)
            seen = views(block)
            if element.index >= len(seen):
                raise ChainDiverged(f"block {element.block} of {holder} is not what was read of it before")
            signed = _own(main, decode(AcceptAnchor, seen[element.index].argument).signed)
            found.append(_Place(block.ByteSize(), holder, element.block, element.index, signed))
        return found

    def _blocks(self, elements: Sequence[ProvenElement]) -> dict[str, list[BlockEvidence]]:
        """The blocks of holdings and elements, and the configuration blocks that those rest on."""
        places = {(holding.chain, holding.block) for held in self._holdings.values() for holding in held}
        places |= {(element.chain, element.block) for element in elements}
        newest = dict(sorted(places))
        resting = {
            (chain, found)
            for chain, number in newest.items()
            for found in configuration_numbers(partial(self._chains.block, chain), number)
        }
        return {
            part: [BlockEvidence.of(chain, self._chains.block(chain, number)) for chain, number in keys]
            for part, keys in (("blocks", places), ("configurations", resting))
        }


def _fewest(places: Sequence[_Place], carried: set[str], holders: Sequence[str]) -> Sequence[_Place]:
    """The fewest places such that another edge holds every carried edge's evidence, where there is one.

    Empty while too few chains hold the anchor.
    """
    strangers = [place for place in places if place.holder not in carried]
    if strangers:
        return strangers[:1]
    others = [place for place in places if place.holder != places[0].holder]
    if others:
        return places[0], others[0]
    return places[:1] if len(holders) == 1 else ()


def _own(index: ChainIndex, signed: SignedStatement) -> SignedStatement:
    """See that what another chain accepted is what this chain's blocks say; else no proof would verify."""
    number = signed.statement.number
    if index.statement(number) != signed.statement:
        raise ChainDiverged(
            f"anchor {number} of {index.chain} as accepted elsewhere is not what its blocks give"
        )
    return signed
