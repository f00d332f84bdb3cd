"""An owner with its devices, and three interlocked chains, for the tests of the contracts."""

from __future__ import annotations

from dataclasses import dataclass

from contract_chains import AnchoringChain, carry
from world_state import FakeChain, caller

from chaincode.api import (
    Device,
    EnrolDevice,
    OwnerAuthorisation,
)
from identity import ED25519, KeyPair, Role
from protocol.commitments import authorisation_bytes
from protocol.encodings import sha256
from protocol.readings import SignedReading
from protocol.signature_base import signature_base

EDGE_ORGANISATIONS = ("A1", "A2", "A3")
MAIN_ORGANISATIONS = ("Cloud1", "Cloud2")
GATEWAY = caller("A1", Role.GATEWAY)
ADMIN = caller("A1", Role.ADMIN)
ANYBODY = caller("A2", Role.CLIENT)


@dataclass
class People:
    """An owner with its devices on one chain."""

    chain: FakeChain
    owner: KeyPair
    keys: dict[str, KeyPair]

    def authorise(self, message: object, key: KeyPair | None = None) -> OwnerAuthorisation:
        signer = key or self.owner
        return OwnerAuthorisation(
            signer.algorithm, signer.sign(authorisation_bytes(self.chain.chain, message))
        )

    def enrolment(self, name: str, algorithm: str = ED25519) -> EnrolDevice:
        key = self.keys.setdefault(name, KeyPair.generate(algorithm))
        blank = EnrolDevice(name, "A1", key.algorithm, key.spki, b"", OwnerAuthorisation("", b""))
        signed = authorisation_bytes(self.chain.chain, blank)
        return EnrolDevice(
            name,
            "A1",
            key.algorithm,
            key.spki,
            key.sign(signed),
            OwnerAuthorisation(self.owner.algorithm, self.owner.sign(signed)),
        )

    def enrol(self, name: str, algorithm: str = ED25519) -> Device:
        device: Device = self.chain.submit(self.enrolment(name, algorithm), ANYBODY)
        return device

    def reading(
        self,
        device: str = "camera-1",
        nonce: str = "n1",
        *,
        created: int | None = None,
        data: bytes = b"21.5",
        keyid: str | None = None,
        key: KeyPair | None = None,
        chain: str | None = None,
        content_type: str = "text/plain",
    ) -> SignedReading:
        signer = key or self.keys[device]
        unsigned = SignedReading(
            device=device,
            keyid=keyid or device,
            algorithm=signer.algorithm,
            created=self.chain.now_ms // 1000 if created is None else created,
            nonce=nonce,
            content_digest=sha256(data),
            content_type=content_type,
            signature=b"",
        )
        base = signature_base(chain or self.chain.chain, unsigned)
        return SignedReading(**{**vars(unsigned), "signature": signer.sign(base)})


@dataclass
class Interlocked:
    """Main and two edges that know each other."""

    main: AnchoringChain
    a: AnchoringChain
    b: AnchoringChain

    def up(self, edge: AnchoringChain) -> None:
        """Type-II."""
        carry(edge.anchor(), self.main)

    def down(self) -> None:
        """Type-III to both edges."""
        anchored = self.main.anchor()
        carry(anchored, self.a)
        carry(anchored, self.b)

    def at(self, now_ms: int) -> None:
        for each in (self.main, self.a, self.b):
            each.now_ms = now_ms


def interlocked_chains() -> Interlocked:
    """Three chains with their sources registered."""
    main = AnchoringChain("main", MAIN_ORGANISATIONS)
    a = AnchoringChain("edge-a", EDGE_ORGANISATIONS)
    b = AnchoringChain("edge-b", ("B1", "B2", "B3"))
    main.register(a, b)
    a.register(main)
    b.register(main)
    return Interlocked(main, a, b)
