"""Questions to one peer's system chaincode: which channels, which packages, which definitions.

Answered by the peer itself, without the orderers. Bring-up asks first and acts, by Fabric's own tools, only
where something is missing; a tool takes a third of a second of processor time, a question some milliseconds.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.peer import chaincode_pb2, peer_pb2_grpc, proposal_pb2, query_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from identity import Signer, TlsIdentity
from network.endpoints import Endpoint
from network.errors import NotReady

__all__ = ["Definition", "PeerQuestions"]

_OK: Final = 200
_NOT_FOUND: Final = 404
_TIMEOUT_S: Final = 10.0
_LIFECYCLE: Final = "_lifecycle"

Definition = Any
"""``lifecycle.QueryChaincodeDefinitionResult``: sequence, version, approvals."""


class PeerQuestions:
    """Asks one peer, as an administrator of its organisation. To be closed after use."""

    def __init__(
        self, endpoint: Endpoint, signer: Signer, client: TlsIdentity, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        """Nothing is connected yet.

        Args:
            endpoint: the peer.
            signer: the administrator.
            client: shown to a peer that wants its clients' certificates.
            timeout_s: how long an answer may take, seconds.
        """
        credentials = grpc.ssl_channel_credentials(
            endpoint.tls_roots,
            private_key=client.key_pem,
            certificate_chain=client.certificate_pem,
        )
        options = [
            ("grpc.ssl_target_name_override", endpoint.server_name),
            ("grpc.enable_http_proxy", 0),
            # The peer may be starting: it is tried again soon.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self._channel = grpc.secure_channel(endpoint.address, credentials, options)
        self._endorser = peer_pb2_grpc.EndorserStub(self._channel)
        self._signer = signer
        self._certificate_hash = client.fingerprint
        self._address = endpoint.address
        self._timeout_s = timeout_s

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> PeerQuestions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, timeout_s: float) -> None:
        """Wait until the peer answers.

        Raises:
            NotReady: it does not.
        """
        # A question that waits for the connection; gRPC's own "channel ready" leaves a thread behind.
        self._ask("", "cscc", "GetChannels", timeout_s=timeout_s)

    def channels(self) -> frozenset[str]:
        """The channels that the peer has joined."""
        raw = self._ask("", "cscc", "GetChannels")
        return frozenset(
            entry.channel_id for entry in query_pb2.ChannelQueryResponse.FromString(raw).channels
        )

    def packages(self) -> frozenset[str]:
        """The ids of the packages that the peer has installed."""
        argument = lifecycle_pb2.QueryInstalledChaincodesArgs().SerializeToString()
        raw = self._ask("", _LIFECYCLE, "QueryInstalledChaincodes", argument)
        found = lifecycle_pb2.QueryInstalledChaincodesResult.FromString(raw).installed_chaincodes
        return frozenset(entry.package_id for entry in found)

    def definition(self, channel: str, name: str) -> Definition | None:
        """The committed definition of a chaincode; None where the peer knows the channel has none."""
        argument = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=name).SerializeToString()
        function = "QueryChaincodeDefinition"
        answer = self._answer(channel, _LIFECYCLE, function, argument)
        if answer.status == _NOT_FOUND:  # said of an undefined name alone
            return None
        if answer.status != _OK:
            self._refused(function, answer.message)
        return lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(answer.payload)

    def approved_package(self, channel: str, name: str, sequence: int) -> str | None:
        """The package id with which the peer's organisation approved a definition; None where it did not."""
        # All that it approved are asked for: asked for a missing one the peer answers as for any fault.
        argument = lifecycle_pb2.QueryApprovedChaincodeDefinitionsArgs().SerializeToString()
        raw = self._ask(channel, _LIFECYCLE, "QueryApprovedChaincodeDefinitions", argument)
        found = lifecycle_pb2.QueryApprovedChaincodeDefinitionsResult.FromString(raw)
        for entry in found.approved_chaincode_definitions:
            if (entry.name, entry.sequence) == (name, sequence):
                return str(entry.source.local_package.package_id)
        return None

    def _ask(
        self, channel: str, chaincode: str, function: str, *arguments: bytes, timeout_s: float | None = None
    ) -> bytes:
        """The answer's payload.

        Raises:
            NotReady: no answer, or a refusal.
        """
        answer = self._answer(channel, chaincode, function, *arguments, timeout_s=timeout_s)
        if answer.status != _OK:
            self._refused(function, answer.message)
        return bytes(answer.payload)

    def _answer(
        self, channel: str, chaincode: str, function: str, *arguments: bytes, timeout_s: float | None = None
    ) -> Any:
        """The chaincode's own response, whatever its status.

        Raises:
            NotReady: the peer does not answer, or does not take the question.
        """
        signed = self._proposal(channel, chaincode, (function.encode(), *arguments))
        limit = self._timeout_s if timeout_s is None else timeout_s
        try:
            return self._endorser.ProcessProposal(signed, timeout=limit, wait_for_ready=True).response
        except grpc.RpcError as error:
            raise NotReady(f"{self._address}: {function}: {error.code().name}: {error.details()}") from error

    def _refused(self, function: str, said: str) -> NoReturn:
        raise NotReady(f"{self._address}: {function}: {said}")

    def _proposal(self, channel: str, chaincode: str, arguments: Sequence[bytes]) -> Any:
        nonce = secrets.token_bytes(24)
        creator = self._signer.serialized()
        now = Timestamp()
        now.GetCurrentTime()
        name = chaincode_pb2.ChaincodeID(name=chaincode)
        header = common_pb2.ChannelHeader(
            type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
            channel_id=channel,
            tx_id=hashlib.sha256(nonce + creator).hexdigest(),
            timestamp=now,
            tls_cert_hash=self._certificate_hash,
            extension=proposal_pb2.ChaincodeHeaderExtension(chaincode_id=name).SerializeToString(),
        )
        specification = chaincode_pb2.ChaincodeSpec(
            type=chaincode_pb2.ChaincodeSpec.GOLANG,  # what every system chaincode is called by
            chaincode_id=name,
            input=chaincode_pb2.ChaincodeInput(args=arguments),
        )
        proposal = proposal_pb2.Proposal(
            header=common_pb2.Header(
                channel_header=header.SerializeToString(),
                signature_header=common_pb2.SignatureHeader(creator=creator, nonce=nonce).SerializeToString(),
            ).SerializeToString(),
            payload=proposal_pb2.ChaincodeProposalPayload(
                input=chaincode_pb2.ChaincodeInvocationSpec(chaincode_spec=specification).SerializeToString()
            ).SerializeToString(),
        )
        raw = proposal.SerializeToString()
        return proposal_pb2.SignedProposal(proposal_bytes=raw, signature=self._signer.sign(raw))
