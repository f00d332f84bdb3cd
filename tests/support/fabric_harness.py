"""The ledger suite's harness over a real Fabric network: every test has a chaincode name of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from ledger_harness import Harness
from scratch_chaincode import ScratchChaincode

from identity import DevelopmentAuthority, Role, Signer
from ledger.fabric import CallOptions, Endpoint, Identity, no_hash, sync
from ledger.fabric.errors import EndorseError
from ledger.fabric_ledger import FabricLedger
from ledger.port import Ledger
from network import Network
from protocol.blocks import Transaction, validation_codes
from protocol.encodings import encode

_PATIENCE_S = 20.0


class FabricHarness(Harness):
    """Over one chain of a running network."""

    def __init__(self, scratch: ScratchChaincode, folder: Path) -> None:
        self.scratch = scratch
        self.network = scratch.network
        self.chain = scratch.chain
        self.organisations = tuple(scratch.organisations)
        self.chaincode = scratch.fresh()
        self.folder = folder
        self._opened: list[Any] = []

    def open(
        self, msp_id: str = "", role: Role = Role.CLIENT, *, attempts: int | None = None, **options: Any
    ) -> FabricLedger:
        signer = self.scratch.signer(msp_id or self.organisations[0], role)
        return self.open_as(signer, **({} if attempts is None else {"attempts": attempts}), **options)

    def open_as(self, signer: Any, **options: Any) -> FabricLedger:
        """For any identity; at its organisation's peer, or the first one's."""
        home = signer.msp_id if signer.msp_id in self.organisations else self.organisations[0]
        options = {"chaincode": self.chaincode, **options}
        chain = options.pop("chain", self.chain)
        ledger = FabricLedger(self.network.peer(self.chain, home), chain, submitter=signer, **options)
        self._opened.append(ledger)
        return ledger

    def stranger(self) -> Ledger:
        now = datetime.now(UTC) - timedelta(minutes=1)
        authority = DevelopmentAuthority.create(self.organisations[0], self.folder / "impostor", now=now)
        return self.open_as(authority.issue("impostor", Role.CLIENT, now=now))

    def expired(self) -> Ledger:
        now = datetime.now(UTC) - timedelta(minutes=5)
        return self.open_as(self.issue("late", now=now, lifetime=timedelta(minutes=4)))

    def issue(self, name: str, **validity: Any) -> Signer:
        """A client's certificate by the first organisation's own authority."""
        authority = DevelopmentAuthority.load(self.network.layout.authority(self.organisations[0]))
        return authority.issue(name, Role.CLIENT, **validity)

    def under_endorsed(self) -> Ledger:
        return self.open(endorsing_organisations=self.organisations[:1])

    def gateway(self) -> sync.Gateway:
        """The client below, for a client of the first organisation."""
        signer = self.scratch.signer(self.organisations[0], Role.CLIENT)
        peer = self.network.peer(self.chain, self.organisations[0])
        gateway = sync.connect(
            Endpoint(peer.address, peer.tls_roots, peer.server_name),
            Identity(signer.msp_id, signer.certificate_pem),
            sign=signer.sign,
            hash=no_hash,
        )
        self._opened.append(gateway)
        return gateway

    def endorsed(self, message: Any) -> bytes:
        gateway = self.gateway()
        contract = gateway.get_network(self.chain).get_contract(self.chaincode)
        end = time.monotonic() + _PATIENCE_S
        while True:
            proposal = contract.new_proposal(message.FUNCTION, [encode(message)])
            try:
                transaction = proposal.endorse()
                break
            except EndorseError as error:  # one peer may be a block behind the other
                if not error.is_mismatch or time.monotonic() > end:
                    raise
                time.sleep(0.02)
        signer = self.scratch.signer(self.organisations[0], Role.CLIENT)
        signed = gateway.new_signed_transaction(
            transaction.get_bytes(), signer.sign(transaction.get_digest())
        )
        envelope = gateway_pb2.PreparedTransaction.FromString(signed.get_bytes()).envelope
        return bytes(envelope.SerializeToString(deterministic=True))

    def order(self, envelope: bytes) -> int:
        """The code of this very envelope's last appearance: a commit status would tell of the first one."""
        gateway, reader = self.gateway(), self.open()
        height = reader.information().height
        prepared = gateway_pb2.PreparedTransaction(
            transaction_id=Transaction.from_envelope(envelope).identifier,
            envelope=common_pb2.Envelope.FromString(envelope),
        )
        gateway.new_signed_transaction(prepared.SerializeToString(), prepared.envelope.signature).submit(
            CallOptions(timeout=_PATIENCE_S)
        )
        while reader.wait(height, _PATIENCE_S):
            block = reader.block(height)
            for code, raw in zip(validation_codes(block), block.data.data, strict=True):
                if raw == envelope:
                    return code
            height += 1
        raise AssertionError("the envelope was not ordered")

    def recipe(self) -> tuple[Callable[..., Ledger], tuple[Any, ...]]:
        return _open, (self.network.root, self.chain, self.organisations[0], self.chaincode)

    def close(self) -> None:
        for each in self._opened:
            each.close()


def _open(root: Path, chain: str, msp_id: str, chaincode: str) -> FabricLedger:
    network = Network(root)
    signer = Signer.load(network.layout.identity(msp_id, Role.CLIENT.value), msp_id=msp_id)
    return FabricLedger(network.peer(chain, msp_id), chain, submitter=signer, chaincode=chaincode)
