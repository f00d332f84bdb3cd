"""Chains of contract calls that anchor each other without blocks: each committed call is one element."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from world_state import FakeChain, Pending, caller

from accumulator import (
    Modulus,
    Parameters,
    accumulate,
    all_membership_witnesses,
    encode_append_only,
    encode_value,
    hash_to_prime,
    prove_append_only,
)
from chaincode.api import (
    AcceptAnchor,
    AnchorAccepted,
    CrossChainProof,
    FixCut,
    RegisterSource,
    SignAnchor,
    Source,
)
from identity import ECDSA_P256_SHA256, Identity, KeyPair, Role
from identity.signatures import raw_to_der
from protocol.anchors import AnchorSignature, AnchorStatement, Roster, SignedStatement
from protocol.elements import Element
from protocol.encodings import sha256
from protocol.merkle import tree_root

# The largest primes below 2^256 and 2^257: their product is no secret, and arithmetic over it is quick.
_P = 2**256 - 189
_Q = 2**257 - 93


def dealer_modulus() -> Modulus:
    """A modulus for tests only; its factors stand above."""
    return Modulus(_P * _Q, "dealer-for-tests")


@cache
def anchor_key(msp_id: str) -> KeyPair:
    """The anchor signer's key of an organisation; the same in one process."""
    del msp_id
    return KeyPair.generate(ECDSA_P256_SHA256)


def signature(msp_id: str, message: bytes, key: KeyPair | None = None) -> AnchorSignature:
    """A DER signature of the organisation's anchor signer."""
    return AnchorSignature(msp_id, raw_to_der((key or anchor_key(msp_id)).sign(message)))


def roster(chain: str, organisations: tuple[str, ...], threshold: int = 2, version: int = 1) -> Roster:
    """A roster of the organisations' anchor keys."""
    return Roster(chain, version, threshold, {name: anchor_key(name).spki for name in organisations})


@dataclass
class Anchored:
    """One anchor of a chain with all that proves it."""

    signed: SignedStatement
    append_only: bytes
    elements: list[Element]
    payloads: list[bytes]
    witnesses: list[int]
    parameters: Parameters

    @property
    def statement(self) -> AnchorStatement:
        return self.signed.statement


class AnchoringChain(FakeChain):
    """A fake chain with a roster of its own; block n holds call n alone."""

    def __init__(self, chain: str, organisations: tuple[str, ...]) -> None:
        super().__init__(chain)
        self.organisations = organisations
        self.parameters = Parameters(dealer_modulus(), chain)
        self.anchors: list[Anchored] = []
        self.codes: dict[str, int] = {}

    @property
    def relay(self) -> Identity:
        return caller(self.organisations[0], Role.RELAY)

    @property
    def admin(self) -> Identity:
        return caller(self.organisations[0], Role.ADMIN)

    @property
    def source(self) -> Source:
        return Source(
            chain=self.chain,
            modulus=self.parameters.modulus.n.to_bytes(self.parameters.value_bytes, "big"),
            origin=self.parameters.modulus.origin,
            roster=roster(self.chain, self.organisations),
        )

    def register(self, *others: AnchoringChain) -> None:
        """Register this chain itself and the others as sources here."""
        for chain in (self, *others):
            self.submit(RegisterSource(chain.source), self.admin)

    def fix_cut(self) -> AnchorStatement:
        """Fix the next cut; the statement of what lies before it, not signed yet."""
        elements = self._elements()
        cut = self.submit(FixCut(len(self.anchors) + 1), self.relay)
        last = self.anchors[-1].statement if self.anchors else None
        first = last.last + 1 if last else 1
        before = int.from_bytes(last.value_after, "big") if last else self.parameters.generator
        primes = [hash_to_prime(element.digest()).prime for element in elements[first - 1 :]]
        after = accumulate(self.parameters, before, primes)
        return AnchorStatement(
            chain=self.chain,
            number=cut.number,
            first=first,
            last=len(elements),
            news=len(primes),
            height=len(elements),
            header_hash=sha256(b"header %d" % len(elements)),
            parameters=self.parameters.digest,
            value_before=encode_value(self.parameters, before),
            value_after=encode_value(self.parameters, after),
            tree_root=tree_root([element.digest() for element in elements]),
            latest=cut.latest,
        )

    def sign(self, statement: AnchorStatement, msp_id: str) -> AnchorSignature:
        """One organisation signs on this chain."""
        made = signature(msp_id, statement.signing_bytes())
        self.submit(SignAnchor(statement, made), caller(msp_id, Role.ANCHOR_SIGNER))
        return made

    def anchor(self) -> Anchored:
        """Cut, sign by the first two organisations, prove."""
        elements = self._elements()
        payloads = [pending.payload for pending in self.committed]
        statement = self.fix_cut()
        signatures = tuple(self.sign(statement, msp_id) for msp_id in self.organisations[:2])
        anchored = self.prove(statement, signatures, elements, payloads)
        self.anchors.append(anchored)
        return anchored

    def prove(
        self,
        statement: AnchorStatement,
        signatures: tuple[AnchorSignature, ...],
        elements: list[Element],
        payloads: list[bytes],
    ) -> Anchored:
        """Append-only proof and all membership witnesses of a statement's range."""
        primes = [hash_to_prime(element.digest()).prime for element in elements[statement.first - 1 :]]
        before, after = (
            int.from_bytes(raw, "big") for raw in (statement.value_before, statement.value_after)
        )
        proof = prove_append_only(self.parameters, before, primes, after, statement.digest())
        return Anchored(
            signed=SignedStatement(statement, signatures),
            append_only=encode_append_only(self.parameters, proof),
            elements=elements[statement.first - 1 :],
            payloads=payloads[statement.first - 1 :],
            witnesses=all_membership_witnesses(self.parameters, before, primes),
            parameters=self.parameters,
        )

    def _elements(self) -> list[Element]:
        return [self._element(number, pending) for number, pending in enumerate(self.committed, start=1)]

    def _element(self, number: int, pending: Pending) -> Element:
        return Element(
            chain=self.chain,
            number=number,
            block=number - 1,
            index=0,
            code=self.codes.get(pending.transaction, 0),
            envelope_hash=sha256(pending.transaction.encode()),
            payload_hash=sha256(pending.payload),
        )


def carry(anchored: Anchored, target: AnchoringChain) -> AnchorAccepted:
    """Hand an anchor to another chain."""
    accepted: AnchorAccepted = target.submit(
        AcceptAnchor(anchored.signed, anchored.append_only), target.relay
    )
    return accepted


def proof_of(anchored: Anchored, transaction: str) -> CrossChainProof:
    """Proof of a committed call against the anchor that covers it."""
    wanted = sha256(transaction.encode())
    (position,) = [
        index for index, element in enumerate(anchored.elements) if element.envelope_hash == wanted
    ]
    element = anchored.elements[position]
    return CrossChainProof(
        chain=element.chain,
        anchor=anchored.statement.number,
        number=element.number,
        block=element.block,
        index=element.index,
        code=element.code,
        envelope_hash=element.envelope_hash,
        payload=anchored.payloads[position].decode(),
        offset=hash_to_prime(element.digest()).offset,
        witness=encode_value(anchored.parameters, anchored.witnesses[position]),
    )
