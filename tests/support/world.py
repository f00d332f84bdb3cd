"""A small world for tests: main and two edges on embedded ledgers, with devices, readings and anchors.

::

    world = build_world(tmp_path)                  # one device, a single reading and a batch, all anchored
    bundle = world.prover.record_bundle("edge-a", world.records["edge-a"][0])
    verify_bundle(bundle, world.trust())

Nothing runs by itself: ``cut``, ``carry`` and ``interlock`` do by direct submissions what anchor signers and
the relay do. ``quick`` (the default) uses a dealer's 512-bit modulus, whose factors stand in this file.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chains import TestChain, make_chain

from accumulator import Modulus, Parameters, default_parameters
from chaincode.api import (
    AcceptAnchor,
    EnrolDevice,
    FixCut,
    GrantDelegation,
    Organisation,
    OwnerAuthorisation,
    RegisterOrganisation,
    RegisterSource,
    SignAnchor,
    Source,
    SubmitBatch,
    SubmitReading,
)
from identity.keys import ED25519, KeyPair
from identity.roles import Role
from ledger.embedded import EmbeddedLedger
from ledger.index import ChainIndex
from ledger.port import Receipt, call
from ledger.proofs import Prover
from protocol.anchors import AnchorSignature, Roster, SignedStatement
from protocol.blocks import header_hash
from protocol.commitments import authorisation_bytes
from protocol.constraints import to_base64
from protocol.encodings import sha256
from protocol.readings import SignedReading
from protocol.signature_base import record_id, signature_base
from protocol.trust import TRUST_SCHEMA, ChainTrust, Checkpoint, TrustRoot

MAIN = "main"
EDGES = ("edge-a", "edge-b")
EMPTY = b"\x00" * 64

# The largest primes below 2^256 and 2^257: their product is no secret, and arithmetic over it is quick.
DEALER = Modulus((2**256 - 189) * (2**257 - 93), "dealer-for-tests")


@dataclass
class Device:
    """An enrolled device and its key."""

    name: str
    chain: str
    key: KeyPair


@dataclass
class World:
    """Chains, indexes and a prover over them, with everybody's keys."""

    folder: Path
    chains: dict[str, TestChain]
    parameters: dict[str, Parameters]
    indexes: dict[str, ChainIndex]
    owners: dict[str, KeyPair]
    """Owner keys by MSP id."""
    manifests: dict[bytes, bytes] = field(default_factory=dict)
    """Data sets' manifests by address, as a store would keep them."""
    records: dict[str, list[bytes]] = field(default_factory=dict)
    """Record ids by chain, in the order of submission."""
    contents: dict[bytes, bytes] = field(default_factory=dict)
    """Readings' bytes by digest, as a store would keep them."""
    devices: dict[tuple[str, str], Device] = field(default_factory=dict)
    _nonce: int = 0

    # -------------------------------------------------------------- who acts

    @property
    def ledgers(self) -> dict[str, EmbeddedLedger]:
        """By chain, as a client."""
        return {name: chain.ledger for name, chain in self.chains.items()}

    @property
    def prover(self) -> Prover:
        """Over all chains."""
        return Prover(self.indexes, self.ledgers, lambda chain, address: self.manifests[address])

    def acting_as(self, chain: str, role: Role, organisation: int = 0) -> EmbeddedLedger:
        """A chain's ledger for a member of its n-th organisation."""
        made = self.chains[chain]
        return made.acting_as(made.organisations[organisation], role)

    def roster(self, chain: str) -> Roster:
        """The anchor signers of all its organisations; two must sign."""
        made = self.chains[chain]
        return Roster(
            chain, 1, 2, {name: made.signer(name, Role.ANCHOR_SIGNER).spki for name in made.organisations}
        )

    # -------------------------------------------------------------- devices and readings

    def enrol(self, chain: str, name: str, algorithm: str = ED25519) -> Device:
        """Enrol a device whose owner is the chain's first organisation."""
        key = KeyPair.generate(algorithm)
        call(self.ledgers[chain], self.enrolment(chain, name, key))
        self.devices[chain, name] = Device(name, chain, key)
        return self.devices[chain, name]

    def enrolment(self, chain: str, name: str, key: KeyPair) -> EnrolDevice:
        """What enrols a device, signed by it and by its owner."""
        owner = self.chains[chain].organisations[0]
        unsigned = EnrolDevice(name, owner, key.algorithm, key.spki, b"", OwnerAuthorisation(ED25519, b""))
        signed = authorisation_bytes(chain, unsigned)
        return replace(
            unsigned,
            possession=key.sign(signed),
            authorisation=OwnerAuthorisation(self.owners[owner].algorithm, self.owners[owner].sign(signed)),
        )

    def grant(self, device: Device, gateway: str, *, active: bool = True, sequence: int = 1) -> KeyPair:
        """Let a gateway's new key sign for the device."""
        owner = self.chains[device.chain].organisations[0]
        key = KeyPair.generate()
        unsigned = GrantDelegation(
            device.name, gateway, key.algorithm, key.spki, active, sequence, OwnerAuthorisation(ED25519, b"")
        )
        signed = authorisation_bytes(device.chain, unsigned)
        authorisation = OwnerAuthorisation(self.owners[owner].algorithm, self.owners[owner].sign(signed))
        call(self.ledgers[device.chain], replace(unsigned, authorisation=authorisation))
        return key

    def read(
        self, device: Device, content: bytes, *, gateway: str = "", key: KeyPair | None = None
    ) -> SignedReading:
        """A reading signed by the device, or by a gateway's key for it; its bytes are kept."""
        self._nonce += 1
        signer = key or device.key
        self.contents[sha256(content)] = content
        unsigned = SignedReading(
            device=device.name,
            keyid=f"{device.name}@{gateway}" if gateway else device.name,
            algorithm=signer.algorithm,
            created=int(time.time()),
            nonce=f"n{self._nonce}",
            content_digest=sha256(content),
            content_type="application/json",
            signature=EMPTY,
        )
        return replace(unsigned, signature=signer.sign(signature_base(device.chain, unsigned)))

    def submit(self, chain: str, readings: Sequence[SignedReading]) -> Receipt:
        """Record readings: one alone by ``records:submit``, several as a batch."""
        message = SubmitReading(readings[0]) if len(readings) == 1 else SubmitBatch(tuple(readings))
        receipt = self.acting_as(chain, Role.GATEWAY).submit(message)
        self.records.setdefault(chain, []).extend(record_id(chain, reading) for reading in readings)
        return receipt

    def submit_contents(self, device: Device, contents: Sequence[bytes]) -> list[bytes]:
        """Sign and record several contents as one transaction; their record ids."""
        readings = [self.read(device, content) for content in contents]
        self.submit(device.chain, readings)
        return [record_id(device.chain, reading) for reading in readings]

    # -------------------------------------------------------------- anchors

    def sync(self) -> None:
        """Every index reads what there is."""
        for index in self.indexes.values():
            index.sync()

    def cut(self, chain: str) -> SignedStatement:
        """Fix the chain's next cut and have two organisations sign its statement."""
        index = self.indexes[chain]
        index.sync()
        number = index.anchor + 1
        receipt = self.acting_as(chain, Role.RELAY).submit(FixCut(number))
        index.sync()
        statement = index.statement(number)
        signatures = []
        made = self.chains[chain]
        for msp_id in sorted(made.organisations)[:2]:
            signer = made.signer(msp_id, Role.ANCHOR_SIGNER)
            signature = AnchorSignature(msp_id, signer.sign(statement.signing_bytes()))
            ledger = made.acting_as(msp_id, Role.ANCHOR_SIGNER)
            assert ledger.wait(receipt.block, 30)  # each organisation signs what its own peer shows
            call(ledger, SignAnchor(statement, signature))
            signatures.append(signature)
        return SignedStatement(statement, tuple(signatures))

    def carry(self, signed: SignedStatement, target: str) -> Receipt:
        """Have another chain accept a statement."""
        statement = signed.statement
        proof = self.indexes[statement.chain].append_only(statement.number)
        return self.acting_as(target, Role.RELAY).submit(AcceptAnchor(signed, proof))

    def interlock(self, edges: Sequence[str] | None = None) -> SignedStatement:
        """One round of anchors: the edges' up to main (Type-II), main's down to every edge (Type-III)."""
        for edge in edges if edges is not None else [chain for chain in self.chains if chain != MAIN]:
            self.carry(self.cut(edge), MAIN)
        signed = self.cut(MAIN)
        for edge in self.chains:
            if edge != MAIN:
                self.carry(signed, edge)
        self.sync()
        return signed

    # -------------------------------------------------------------- what an auditor is given

    def trust(self, checkpoints: dict[str, Checkpoint] | None = None) -> TrustRoot:
        """The trust root of this world."""
        return TrustRoot(
            TRUST_SCHEMA,
            MAIN,
            tuple(
                ChainTrust(
                    chain=name,
                    genesis_hash=header_hash(chain.genesis.header),
                    config_blocks=(to_base64(chain.genesis.SerializeToString(deterministic=True)),),
                    roster=self.roster(name),
                    modulus=modulus_bytes(self.parameters[name].modulus),
                    origin=self.parameters[name].modulus.origin,
                    policy=2,
                    checkpoint=(checkpoints or {}).get(name, Checkpoint(0, b"")),
                )
                for name, chain in sorted(self.chains.items())
            ),
        )

    def close(self) -> None:
        """Close every file."""
        for index in self.indexes.values():
            index.close()
        for chain in self.chains.values():
            chain.close()


def modulus_bytes(modulus: Modulus) -> bytes:
    """Big-endian without leading zeros."""
    return modulus.n.to_bytes((modulus.n.bit_length() + 7) // 8, "big")


def organisations_of(chain: str) -> tuple[str, ...]:
    """The organisations behind a chain of a world, wherever it is made."""
    return tuple(f"{chain}-{number}" for number in range(1, (2 if chain == MAIN else 3) + 1))


def empty_world(
    tmp_path: Path,
    edges: Sequence[str] = EDGES,
    *,
    quick: bool = True,
    like: World | None = None,
    make: Callable[..., Any] = make_chain,
) -> World:
    """Chains with their organisations, owner keys and sources registered, and nothing else on them.

    ``like`` gives the authorities and signers of another world: what all its organisations, colluding, make.
    ``make`` makes the chains: embedded ones, or on real Fabric (``fabric_chains``).
    """
    if like is not None:
        shutil.copytree(like.folder / "authorities", tmp_path / "authorities")
    chains, parameters, indexes = {}, {}, {}
    owners: dict[str, KeyPair] = {}
    for name in (MAIN, *edges):
        chains[name] = make(tmp_path, name, organisations_of(name))
        if like is not None:
            chains[name]._signers.update(like.chains[name]._signers)
        parameters[name] = Parameters(DEALER, name) if quick else default_parameters(name)
        indexes[name] = ChainIndex(chains[name].ledger, parameters[name], tmp_path / f"{name}.index")
    world = World(tmp_path, chains, parameters, indexes, owners)
    for name, chain in chains.items():
        for position, msp_id in enumerate(chain.organisations):
            owners[msp_id] = KeyPair.generate()
            organisation = Organisation(msp_id, msp_id, owners[msp_id].spki)
            call(world.acting_as(name, Role.ADMIN, position), RegisterOrganisation(organisation))
        for source in (name, *(edges if name == MAIN else (MAIN,))):
            modulus = parameters[source].modulus
            message = Source(source, modulus_bytes(modulus), modulus.origin, world.roster(source))
            call(world.acting_as(name, Role.ADMIN), RegisterSource(message))
    return world


def build_world(
    tmp_path: Path,
    edges: Sequence[str] = EDGES,
    *,
    quick: bool = True,
    like: World | None = None,
    make: Callable[..., Any] = make_chain,
) -> World:
    """A world in which every edge has a device, one single reading and a batch of three, all anchored."""
    world = empty_world(tmp_path, edges, quick=quick, like=like, make=make)
    for edge in edges:
        device = world.enrol(edge, "meter-1")
        world.submit_contents(device, [f'{{"edge":"{edge}","value":0}}'.encode()])
        world.submit_contents(device, [f'{{"edge":"{edge}","value":{n}}}'.encode() for n in (1, 2, 3)])
    world.interlock()
    return world
