"""A bundle's parts by what they are asked for, and which of them the subject led to.

Whatever a rule asks for is marked; what nobody asked for at the end refuses the bundle. So nothing can be
slipped into a bundle that a reader would take for verified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from audit.errors import Check, Invalid, Unverifiable, failing
from chaincode.api import (
    AcceptAnchor,
    Attest,
    CommitModel,
    CreateRun,
    EnrolDevice,
    GrantDelegation,
    Message,
    State,
    SubmitBatch,
    SubmitReading,
    SubmitStep,
)
from chaincode.payloads import decode_result
from protocol.anchors import SignedStatement
from protocol.bundle import BatchEvidence, BlockEvidence, Bundle, Holding, LeafEvidence, ProvenElement
from protocol.commitments import data_set_digest
from protocol.encodings import parse_canonical_json
from protocol.errors import EncodingError

__all__ = ["Evidence", "Shown"]

R = TypeVar("R")

_KINDS: Final[Mapping[type[Message], Callable[[Any], str]]] = {
    SubmitBatch: lambda result: "",
    SubmitReading: lambda result: "",
    EnrolDevice: lambda result: result.device,
    GrantDelegation: lambda result: f"{result.device}@{result.gateway}",
    AcceptAnchor: lambda result: f"{result.chain}/{result.number}",
    CreateRun: lambda result: result.run,
    SubmitStep: lambda result: f"{result.run}/{result.number}/{result.attempt}",
    CommitModel: lambda result: f"{result.run}/{result.version}/{result.attempt}",
    Attest: lambda result: f"{result.subject.value}/{result.run}/{result.number}/{result.state.value}",
}
_BY_NAME: Final = {kind.FUNCTION: kind for kind in _KINDS}


@dataclass(frozen=True)
class Shown(Generic[R]):
    """An element of the bundle with the result that its payload carries."""

    proven: ProvenElement
    kind: type[Message]
    """The contract function, as the message that calls it."""
    result: R

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.proven.chain} element {self.proven.number}"


class Evidence:
    """The parts of one bundle.

    Raises:
        Invalid: a payload that no rule could use (check ``element``), a record shown twice (``unused``).
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle: Final = bundle
        self._statements = {(one.statement.chain, one.statement.number): one for one in bundle.statements}
        self._shown = {element.key: _read(element) for element in bundle.elements}
        self._by_kind: dict[tuple[str, type[Message], str], list[Shown[Any]]] = defaultdict(list)
        for shown in self._shown.values():
            key = _KINDS[shown.kind](shown.result)
            self._by_kind[shown.proven.chain, shown.kind, key].append(shown)
        self._leaves: dict[tuple[str, bytes], tuple[BatchEvidence, LeafEvidence]] = {}
        for batch in bundle.batches:
            for leaf in batch.leaves:
                place = (batch.chain, leaf.leaf.record)
                if place in self._leaves:
                    raise Invalid(Check.UNUSED, "a record is shown twice", leaf.leaf.record.hex())
                self._leaves[place] = (batch, leaf)
        self._manifests = {data_set_digest(manifest): manifest for manifest in bundle.manifests}
        self._holdings: dict[bytes, list[Holding]] = defaultdict(list)
        for holding in bundle.holdings:
            self._holdings[holding.statement].append(holding)
        self._blocks = {block.key: block for block in bundle.blocks}
        self._used: dict[str, set[object]] = defaultdict(set)

    # ------------------------------------------------------------------ looking, without using

    def elements(self) -> list[Shown[Any]]:
        """Every element, by chain and number."""
        return [self._shown[key] for key in sorted(self._shown)]

    def look_statement(self, chain: str, number: int) -> SignedStatement:
        """The statement of a chain's anchor.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        return _there(self._statements.get((chain, number)), f"{chain} anchor {number}")

    def look_element(self, chain: str, number: int) -> Shown[Any]:
        """An element by number.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        return _there(self._shown.get((chain, number)), f"{chain} element {number}")

    def has_leaf(self, chain: str, record: bytes) -> bool:
        """Whether a record is shown."""
        return (chain, record) in self._leaves

    # ------------------------------------------------------------------ asking

    def statement(self, chain: str, number: int) -> SignedStatement:
        """The statement of a chain's anchor.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        self._use("statements", (chain, number))
        return self.look_statement(chain, number)

    def element(self, chain: str, number: int) -> Shown[Any]:
        """An element by number; it must be valid on its chain.

        Raises:
            Unverifiable: it is not in the bundle.
            Invalid: its code is not 0 (check ``element``).
        """
        return self._take(self.look_element(chain, number))

    def find(self, kind: type[Message], chain: str, key: str) -> Shown[Any]:
        """The first element of a chain that a function made, by the key fields of its result.

        Raises:
            Unverifiable: there is none in the bundle.
            Invalid: its code is not 0 (check ``element``).
        """
        found = self._by_kind.get((chain, kind, key))
        return self._take(_there(found[0] if found else None, f"{kind.FUNCTION} of {key} on {chain}"))

    def find_before(
        self, kind: type[Message], chain: str, key: str, number: int, fits: Callable[[Any], bool]
    ) -> Shown[Any]:
        """The newest such element before element ``number`` whose result fits.

        Raises:
            Unverifiable: there is none in the bundle.
            Invalid: its code is not 0 (check ``element``).
        """
        found = [
            shown
            for shown in self._by_kind.get((chain, kind, key), [])
            if shown.proven.number < number and fits(shown.result)
        ]
        what = f"a fitting {kind.FUNCTION} of {key} on {chain} before element {number}"
        return self._take(_there(found[-1] if found else None, what))

    def leaf(self, chain: str, record: bytes) -> tuple[BatchEvidence, LeafEvidence]:
        """A record's leaf and the batch that it is in.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        self._use("leaves", (chain, record))
        return _there(self._leaves.get((chain, record)), f"record {record.hex()} on {chain}")

    def manifest(self, digest: bytes) -> tuple[bytes, ...]:
        """The record ids of a data set.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        self._use("manifests", digest)
        return _there(self._manifests.get(digest), f"manifest {digest.hex()}")

    def holding(self, statement: bytes, holders: Collection[str], where: str) -> Holding:
        """Where one of ``holders`` holds a statement of main.

        Raises:
            Unverifiable: nobody's holding is in the bundle.
            Invalid: only others' are (check ``holding-block``).
        """
        shown = self._holdings.get(statement, [])
        _there(shown or None, f"a holding of statement {statement.hex()}")
        for holding in shown:
            if holding.chain in holders:
                self._use("holdings", holding.key)
                return holding
        names = " and ".join(sorted({holding.chain for holding in shown}))
        raise Invalid(Check.HOLDING_BLOCK, f"{names} may not hold it for what it carries", where)

    def block(self, chain: str, number: int) -> BlockEvidence:
        """A block.

        Raises:
            Unverifiable: it is not in the bundle.
        """
        self._use("blocks", (chain, number))
        return _there(self._blocks.get((chain, number)), f"{chain} block {number}")

    # ------------------------------------------------------------------ what was used

    def used_elements(self) -> list[Shown[Any]]:
        """Elements that were asked for, by chain and number."""
        return [self._shown[key] for key in sorted(self._shown) if key in self._used["elements"]]

    def used_statements(self) -> list[SignedStatement]:
        """Statements that were asked for, by chain and number."""
        return [self._statements[key] for key in sorted(self._statements) if key in self._used["statements"]]

    def check_all_used(self) -> None:
        """Refuse what nothing led to.

        Raises:
            Invalid: check ``unused``.
        """
        parts: dict[str, list[object]] = {
            "statements": list(self._statements),
            "elements": list(self._shown),
            "leaves": list(self._leaves),
            "manifests": list(self._manifests),
            "holdings": [holding.key for holding in self.bundle.holdings],
            "blocks": list(self._blocks),
        }
        for name, keys in parts.items():
            for key in keys:
                if key not in self._used[name]:
                    raise Invalid(Check.UNUSED, f"the subject does not lead to {_text(key)}", name)

    def _take(self, shown: Shown[Any]) -> Shown[Any]:
        self._use("elements", shown.proven.key)
        if shown.proven.code != 0:
            raise Invalid(
                Check.ELEMENT, f"validation code {shown.proven.code}: nothing was recorded", shown.where
            )
        return shown

    def _use(self, part: str, key: object) -> None:
        self._used[part].add(key)


def _read(element: ProvenElement) -> Shown[Any]:
    where = f"{element.chain} element {element.number}"
    with failing(Check.ELEMENT, EncodingError, where=where):
        payload = element.payload.encode()
        value = parse_canonical_json(payload)
        name = value.get("type") if isinstance(value, dict) else None
        kind = _BY_NAME.get(name) if isinstance(name, str) else None
        if kind is None:
            raise Invalid(Check.ELEMENT, "its payload is of no kind that a proof uses", where)
        return Shown(element, kind, decode_result(kind, payload))


def accepted_key(subject: str, run: str, number: int) -> str:
    """Key of the vote that made a subject accepted."""
    return f"{subject}/{run}/{number}/{State.ACCEPTED.value}"


def _there(part: R | None, what: str) -> R:
    if part is None:
        raise Unverifiable(Check.MISSING, f"{what} is not in the bundle")
    return part


def _text(key: object) -> str:
    if isinstance(key, tuple):
        return " ".join(_text(part) for part in key)
    return key.hex() if isinstance(key, bytes) else str(key)
