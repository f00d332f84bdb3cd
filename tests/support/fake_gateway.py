"""A peer's Gateway and Deliver services in this process: a small chain, and faults on demand.

It checks what a peer checks of a client (transaction ids, signatures, the creator's bytes) and answers with
the official messages. ``faults[method]`` is a queue: each call takes one and fails with it, or runs it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.msp import identities_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    events_pb2,
    events_pb2_grpc,
    proposal_pb2,
    proposal_response_pb2,
    transaction_pb2,
)
from grpc_fault import Fault

from ledger.fabric.connection import Endpoint
from ledger.fabric.errors import ErrorDetail
from ledger.fabric.identities import Identity, Sign, private_key_sign

_HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2
_ENDLESS = 2**63 - 1


@dataclass
class FakeGateway:
    """One channel, ``channel``; a block a transaction."""

    channel: str = "chain"
    answer: Callable[[list[bytes]], bytes] = lambda arguments: b"|".join(arguments)
    blocks: list[common_pb2.Block] = field(default_factory=list)
    faults: defaultdict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    calls: list[str] = field(default_factory=list)
    proposals: list[Any] = field(default_factory=list)
    codes: deque[int] = field(default_factory=deque)
    """Validation codes of the next transactions; VALID when it is empty."""
    endorsers: tuple[str, ...] = ()
    """Who endorses where the client does not say who is to."""
    streams: list[Any] = field(default_factory=list)
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self._busy = 0
        self._delivery = 0
        self._server: Any = None
        self.port = 0
        self.append()

    # -------------------------------------------------------------- running

    def start(self, port: int = 0, credentials: Any = None) -> Endpoint:
        """Serve; at the port it had before, where it was started before."""
        options = (
            ("grpc.so_reuseport", 0),
            # As a peer's: a client may ask often whether it is there, streams open or not.
            ("grpc.http2.min_ping_interval_without_data_ms", 100),
            ("grpc.keepalive_permit_without_calls", 1),
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(64), options=options)
        gateway_pb2_grpc.add_GatewayServicer_to_server(_Gateway(self), self._server)
        events_pb2_grpc.add_DeliverServicer_to_server(_Deliver(self), self._server)
        address = f"127.0.0.1:{port or self.port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._server.start()
        return Endpoint(f"127.0.0.1:{self.port}")

    def stop(self) -> None:
        self.break_streams()
        self._server.stop(None).wait()

    def break_streams(self) -> None:
        """Every stream ends with UNAVAILABLE."""
        with self.changed:
            self._delivery += 1
            self.changed.notify_all()

    def append(self, envelope: bytes = b"", code: int = 0) -> int:
        """A new block; its number."""
        with self.changed:
            block = common_pb2.Block()
            block.header.number = len(self.blocks)
            block.data.data.append(envelope)
            block.metadata.metadata.extend([b"", b"", bytes([code])])
            self.blocks.append(block)
            self.changed.notify_all()
            return int(block.header.number)

    def find(self, transaction: str) -> tuple[int, int] | None:
        for block in self.blocks:
            if transaction_id(block) == transaction:
                return block.header.number, block.metadata.metadata[2][0]
        return None

    def enter(self, method: str, context: Any) -> Fault | None:
        """Note the call, and fail it where that was asked for; a fault for afterwards is given back."""
        with self.changed:
            self.calls.append(method)
            queue = self.faults[method]
            fault = queue.popleft() if queue else None
        if callable(fault):
            fault()
            return None
        if fault is not None and not fault.after:
            fault.abort(context)
        return fault

    def follow(self, start: int, stop: int, context: Any) -> Iterator[common_pb2.Block]:
        turn = self._delivery
        while start <= stop:
            with self.changed:
                while len(self.blocks) <= start and turn == self._delivery and context.is_active():
                    self.changed.wait(0.2)
                if turn != self._delivery:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the stream was broken")
                if not context.is_active():
                    return
                block = self.blocks[start]
            yield block
            start += 1

    def busy(self, step: int) -> None:
        with self.changed:
            self._busy += step
            self.most_at_once = max(self.most_at_once, self._busy)


def transaction_id(block: common_pb2.Block) -> str:
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(block.data.data[0]).payload)
    return str(common_pb2.ChannelHeader.FromString(payload.header.channel_header).tx_id)


def verify(creator: bytes, message: bytes, signature: bytes) -> bool:
    """As a peer: the creator's certificate, a low S."""
    identity = identities_pb2.SerializedIdentity.FromString(creator)
    key = x509.load_pem_x509_certificate(identity.id_bytes).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        return decode_dss_signature(signature)[1] <= _HALF_ORDER
    except Exception:
        return False


class _Gateway(gateway_pb2_grpc.GatewayServicer):  # type: ignore[misc]
    def __init__(self, fake: FakeGateway) -> None:
        self.fake = fake

    def Evaluate(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.fake.enter("Evaluate", context)
        _, _, arguments = self._check(request.proposed_transaction, context)
        response = proposal_response_pb2.Response(status=200, payload=self.fake.answer(arguments))
        return gateway_pb2.EvaluateResponse(result=response)

    def Endorse(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.fake.busy(1)
        try:
            self.fake.enter("Endorse", context)
            header, proposal, arguments = self._check(request.proposed_transaction, context)
        finally:
            self.fake.busy(-1)
        self.fake.proposals.append(request)
        action = proposal_pb2.ChaincodeAction(
            response=proposal_response_pb2.Response(status=200, payload=self.fake.answer(arguments))
        )
        endorsed = transaction_pb2.ChaincodeActionPayload(chaincode_proposal_payload=proposal.payload)
        endorsed.action.proposal_response_payload = proposal_response_pb2.ProposalResponsePayload(
            extension=action.SerializeToString()
        ).SerializeToString()
        for msp_id in request.endorsing_organizations or self.fake.endorsers:
            endorser = identities_pb2.SerializedIdentity(mspid=msp_id, id_bytes=b"peer")
            endorsed.action.endorsements.add(endorser=endorser.SerializeToString(), signature=b"signature")
        transaction = transaction_pb2.Transaction()
        transaction.actions.add(header=header.signature_header, payload=endorsed.SerializeToString())
        payload = common_pb2.Payload(header=header, data=transaction.SerializeToString())
        envelope = common_pb2.Envelope(payload=payload.SerializeToString())
        return gateway_pb2.EndorseResponse(prepared_transaction=envelope)

    def Submit(self, request: Any, context: Any) -> Any:  # noqa: N802
        fault = self.fake.enter("Submit", context)
        envelope = request.prepared_transaction
        payload = common_pb2.Payload.FromString(envelope.payload)
        creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
        if not verify(creator, envelope.payload, envelope.signature):
            context.abort(grpc.StatusCode.ABORTED, "received unsuccessful response: status=FORBIDDEN")
        code = self.fake.codes.popleft() if self.fake.codes else 0
        if self.fake.find(request.transaction_id) is not None:
            code = transaction_pb2.TxValidationCode.DUPLICATE_TXID
        self.fake.append(envelope.SerializeToString(), code)
        if fault is not None:
            fault.abort(context)
        return gateway_pb2.SubmitResponse()

    def CommitStatus(self, signed: Any, context: Any) -> Any:  # noqa: N802
        self.fake.enter("CommitStatus", context)
        request = gateway_pb2.CommitStatusRequest.FromString(signed.request)
        if not verify(request.identity, signed.request, signed.signature):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "access denied")
        with self.fake.changed:
            while (found := self.fake.find(request.transaction_id)) is None:
                if not context.is_active():
                    return gateway_pb2.CommitStatusResponse()
                self.fake.changed.wait(0.05)
        return gateway_pb2.CommitStatusResponse(block_number=found[0], result=found[1])

    def ChaincodeEvents(self, signed: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.fake.enter("ChaincodeEvents", context)
        request = gateway_pb2.ChaincodeEventsRequest.FromString(signed.request)
        if not verify(request.identity, signed.request, signed.signature):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "access denied")
        if request.channel_id != self.fake.channel:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such channel")
        self.fake.streams.append(request)
        start, after = len(self.fake.blocks), request.after_transaction_id
        if request.start_position.HasField("specified"):
            start = request.start_position.specified.number
        for block in self.fake.follow(start, _ENDLESS, context):
            # Two events a block, named after the block.
            number = block.header.number
            events = [
                chaincode_event_pb2.ChaincodeEvent(
                    chaincode_id=request.chaincode_id,
                    tx_id=f"{number}-{index}",
                    event_name="made",
                    payload=b"%d" % index,
                )
                for index in range(2)
            ]
            seen = [event.tx_id for event in events]
            if after in seen:
                events = events[seen.index(after) + 1 :]
            if events:
                yield gateway_pb2.ChaincodeEventsResponse(block_number=number, events=events)

    def _check(self, signed: Any, context: Any) -> tuple[Any, Any, list[bytes]]:
        proposal = proposal_pb2.Proposal.FromString(signed.proposal_bytes)
        header = common_pb2.Header.FromString(proposal.header)
        channel = common_pb2.ChannelHeader.FromString(header.channel_header)
        signature = common_pb2.SignatureHeader.FromString(header.signature_header)
        expected = hashlib.sha256(signature.nonce + signature.creator).hexdigest()
        assert channel.tx_id == expected
        assert abs(channel.timestamp.seconds - time.time()) < 60
        extension = proposal_pb2.ChaincodeHeaderExtension.FromString(channel.extension)
        payload = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.payload)
        spec = chaincode_pb2.ChaincodeInvocationSpec.FromString(payload.input).chaincode_spec
        assert extension.chaincode_id.name == spec.chaincode_id.name
        if not verify(signature.creator, signed.proposal_bytes, signed.signature):
            Fault(
                grpc.StatusCode.ABORTED,
                "failed to endorse transaction, see attached details for more info",
                (ErrorDetail("peer:7051", "Org1MSP", f"access denied: channel [{channel.channel_id}]"),),
            ).abort(context)
        return header, proposal, list(spec.input.args)


class _Deliver(events_pb2_grpc.DeliverServicer):  # type: ignore[misc]
    def __init__(self, fake: FakeGateway) -> None:
        self.fake = fake

    def Deliver(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for block in self._blocks("Deliver", requests, context):
            yield block if isinstance(block, events_pb2.DeliverResponse) else _response(block=block)

    def DeliverFiltered(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for block in self._blocks("DeliverFiltered", requests, context):
            if isinstance(block, events_pb2.DeliverResponse):
                yield block
            else:
                filtered = events_pb2.FilteredBlock(channel_id=self.fake.channel, number=block.header.number)
                if block.data.data[0]:
                    filtered.filtered_transactions.add(
                        txid=transaction_id(block), tx_validation_code=block.metadata.metadata[2][0]
                    )
                yield _response(filtered_block=filtered)

    def DeliverWithPrivateData(self, requests: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        for block in self._blocks("DeliverWithPrivateData", requests, context):
            if isinstance(block, events_pb2.DeliverResponse):
                yield block
            else:
                yield _response(block_and_private_data=events_pb2.BlockAndPrivateData(block=block))

    def _blocks(self, method: str, requests: Any, context: Any) -> Iterator[Any]:
        self.fake.enter(method, context)
        envelope = next(requests)
        payload = common_pb2.Payload.FromString(envelope.payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        creator = common_pb2.SignatureHeader.FromString(payload.header.signature_header).creator
        self.fake.streams.append(header)
        if header.channel_id != self.fake.channel:
            yield _response(status=common_pb2.Status.NOT_FOUND)
            return
        if not verify(creator, envelope.payload, envelope.signature):
            yield _response(status=common_pb2.Status.FORBIDDEN)
            return
        seek = ab_pb2.SeekInfo.FromString(payload.data)
        newest = len(self.fake.blocks) - 1
        places = {"newest": newest, "next_commit": newest + 1, "oldest": 0}
        start, stop = (
            at.specified.number if at.HasField("specified") else places[at.WhichOneof("Type")]
            for at in (seek.start, seek.stop)
        )
        if seek.behavior == ab_pb2.SeekInfo.FAIL_IF_NOT_READY and start > newest:
            yield _response(status=common_pb2.Status.NOT_FOUND)
            return
        yield from self.fake.follow(start, stop, context)
        yield _response(status=common_pb2.Status.SUCCESS)


def _response(**content: Any) -> Any:
    return events_pb2.DeliverResponse(**content)


# ------------------------------------------------------------------ identities


def new_member(msp_id: str = "Org1MSP") -> tuple[Identity, Sign]:
    """A self-signed certificate and what signs for it."""
    key, identity = new_key_and_member(msp_id)
    return identity, private_key_sign(key)


def new_key_and_member(msp_id: str = "Org1MSP") -> tuple[bytes, Identity]:
    """A private key in PEM, and who holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "member")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    raw = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return raw, Identity(msp_id, pem)
