"""Changing a running channel's configuration: read it, change it, have the organisations sign, submit, wait.

::

    network = Network(root)
    update_channel(network, "edge-a", change_batch(Batch(messages=50)))

Nothing here changes what the network's folder says; whoever replaces certificates writes them there too.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import grpc
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.orderer import ab_pb2, ab_pb2_grpc

from identity import Role, Signer, TlsIdentity
from network.config_update import Change, compute_update
from network.endpoints import Endpoint
from network.errors import CommandFailed, NetworkError, NotReady
from network.network import Network

__all__ = ["ConfigBlock", "read_configuration", "submit_envelope", "update_channel"]

T = TypeVar("T")

_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.1
_PATIENCE_S: Final = 15.0
_AGAIN_S: Final = 5.0
_SAID: Final = 300  # characters of an orderer's reason, which may quote whole policies
_NO_LEADER: Final = common_pb2.Status.SERVICE_UNAVAILABLE
_SIGNATURES: Final = 0  # common.BlockMetadataIndex


class ConfigBlock:
    """A configuration block, opened.

    Attributes:
        block: the block.
        number: its number.
        config: the configuration in it.
    """

    def __init__(self, block: common_pb2.Block) -> None:
        self.block = block
        self.number = int(block.header.number)
        envelope = common_pb2.Envelope.FromString(block.data.data[0])
        payload = common_pb2.Payload.FromString(envelope.payload)
        self.config = configtx_pb2.ConfigEnvelope.FromString(payload.data).config


def read_configuration(network: Network, chain: str) -> ConfigBlock:
    """The configuration in force on a chain, from one of its orderers.

    Raises:
        NotReady: none of them answers.
    """
    return _with_orderer(network, chain, lambda orderer: orderer.configuration())


def update_channel(
    network: Network,
    chain: str,
    change: Change,
    *,
    signers: Sequence[str] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> ConfigBlock:
    """Change a chain's configuration, and wait until the orderers have put it into a block.

    Args:
        network: the running network.
        chain: its chain.
        change: changes the channel's group in place.
        signers: MSP ids whose administrators sign; every organisation of the chain where not given, which
            suffices for whatever may be changed at all.
        timeout_s: how long the block may take, seconds.

    Returns:
        The new configuration block.

    Raises:
        NetworkError: nothing would change.
        CommandFailed: the orderers refuse; with what they say.
        NotReady: they do not answer, or the block does not come in time.
    """
    spec = network.chain(chain)
    admins = [
        Signer.load(network.layout.identity(msp_id, Role.ADMIN.value), msp_id=msp_id)
        for msp_id in (spec.msp_ids if signers is None else signers)
    ]
    if not admins:
        raise NetworkError("an update must be signed by somebody")
    before = read_configuration(network, chain)
    after = configtx_pb2.ConfigGroup()
    after.CopyFrom(before.config.channel_group)
    change(after)
    update = compute_update(chain, before.config.channel_group, after)
    submit_envelope(network, chain, _signed_update(chain, update, admins))
    begun = again = time.monotonic()
    while True:
        found = read_configuration(network, chain)
        if found.config.sequence > before.config.sequence:
            return found
        now = time.monotonic()
        if now > begun + timeout_s:
            raise NotReady(f"{chain}: no new configuration after {timeout_s:g} s")
        if now > again + _AGAIN_S:
            # What a leader took on just before it handed over may be lost. Of two that arrive the second is
            # refused: it changes a configuration that is not in force any more.
            again = now
            with contextlib.suppress(CommandFailed):
                submit_envelope(network, chain, _signed_update(chain, update, admins))
        time.sleep(_PAUSE_S)


def submit_envelope(network: Network, chain: str, envelope: common_pb2.Envelope) -> None:
    """Hand any signed envelope to a chain's orderers.

    One of Raft's passes it on to the leader. Of SmartBFT's all are given it, as Fabric's own Gateway does:
    one that is behind keeps it to itself.

    Raises:
        CommandFailed: they refuse it.
        NotReady: none of them answers.
    """
    endpoints = network.orderers(chain)
    everybody = network.chain(chain).ordering == "smartbft"
    end = time.monotonic() + _PATIENCE_S
    while True:
        faults: list[NetworkError] = []
        for endpoint in endpoints:
            try:
                _with(network, chain, endpoint, lambda orderer: orderer.broadcast(envelope))
            except (CommandFailed, NotReady) as error:
                faults.append(error)
            else:
                if not everybody:
                    return
        if len(faults) < len(endpoints) and everybody:
            return  # who refused it may have seen it in a block already
        refusals = [error for error in faults if isinstance(error, CommandFailed)]
        if len(refusals) == len(faults) or (refusals and not everybody) or time.monotonic() > end:
            raise (refusals or faults)[0]
        time.sleep(_PAUSE_S)


class _Orderer:
    """One orderer's two services, spoken to as an organisation's administrator."""

    def __init__(
        self, grpc_channel: grpc.Channel, chain: str, signer: Signer, certificate_hash: bytes
    ) -> None:
        self._stub = ab_pb2_grpc.AtomicBroadcastStub(grpc_channel)
        self._chain = chain
        self._signer = signer
        self._certificate_hash = certificate_hash

    def configuration(self) -> ConfigBlock:
        """The newest block names it; that one is read."""
        newest = self._block(ab_pb2.SeekPosition(newest=ab_pb2.SeekNewest()))
        metadata = common_pb2.Metadata.FromString(newest.metadata.metadata[_SIGNATURES])
        index = common_pb2.OrdererBlockMetadata.FromString(metadata.value).last_config.index
        if newest.header.number != index:
            newest = self._block(ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=index)))
        return ConfigBlock(newest)

    def broadcast(self, envelope: common_pb2.Envelope) -> None:
        """Submit an envelope."""
        answer = next(self._stub.Broadcast(iter([envelope]), timeout=_TIMEOUT_S), None)
        if answer is None:
            raise NotReady(f"{self._chain}: an orderer ended the stream without an answer")
        if answer.status != common_pb2.Status.SUCCESS:
            status = common_pb2.Status.Name(answer.status)
            said = f"{self._chain}: the orderers refuse: {status}: {answer.info[:_SAID]}"
            # While there is no leader an orderer says so; it may mean other faults, too.
            raise NotReady(said) if answer.status == _NO_LEADER else CommandFailed(said)

    def _block(self, position: ab_pb2.SeekPosition) -> common_pb2.Block:
        seek = ab_pb2.SeekInfo(
            start=position, stop=position, behavior=ab_pb2.SeekInfo.SeekBehavior.BLOCK_UNTIL_READY
        )
        envelope = _envelope(
            self._chain,
            common_pb2.HeaderType.DELIVER_SEEK_INFO,
            seek.SerializeToString(),
            self._signer,
            self._certificate_hash,
        )
        for answer in self._stub.Deliver(iter([envelope]), timeout=_TIMEOUT_S):
            if answer.WhichOneof("Type") == "block":
                return answer.block
            status = common_pb2.Status.Name(answer.status)
            raise NotReady(f"{self._chain}: an orderer hands out no block: {status}")
        raise NotReady(f"{self._chain}: an orderer ended the stream without a block")


def _with_orderer(network: Network, chain: str, work: Callable[[_Orderer], T]) -> T:
    """Ask one orderer after the other until one answers; those that have just started do not at once."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        faults: list[str] = []
        for endpoint in network.orderers(chain):
            try:
                return _with(network, chain, endpoint, work)
            except NotReady as error:
                faults.append(str(error))
        if time.monotonic() > end:
            raise NotReady(
                f"{chain}: no orderer answers (`edgeproof network status` says what runs, `up` starts it): "
                f"{'; '.join(faults)}"
            )
        time.sleep(_PAUSE_S)


def _with(network: Network, chain: str, endpoint: Endpoint, work: Callable[[_Orderer], T]) -> T:
    """Ask one orderer.

    Raises:
        NotReady: it does not answer, or cannot do it now.
        CommandFailed: it refuses.
    """
    operator = network.chain(chain).operator
    admin = Signer.load(network.layout.identity(operator, Role.ADMIN.value), msp_id=operator)
    client = network.layout.client_tls(operator)
    try:
        with _connected(endpoint, client) as connection:
            return work(_Orderer(connection, chain, admin, client.fingerprint))
    except grpc.RpcError as error:
        raise NotReady(f"{endpoint.address}: {error.code().name}: {error.details()}") from error


@contextlib.contextmanager
def _connected(endpoint: Endpoint, client: TlsIdentity) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(
        endpoint.tls_roots, private_key=client.key_pem, certificate_chain=client.certificate_pem
    )
    options = [("grpc.ssl_target_name_override", endpoint.server_name), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(endpoint.address, credentials, options) as connection:
        yield connection


def _signed_update(
    chain: str, update: configtx_pb2.ConfigUpdate, admins: Sequence[Signer]
) -> common_pb2.Envelope:
    raw = update.SerializeToString(deterministic=True)
    signed = configtx_pb2.ConfigUpdateEnvelope(config_update=raw)
    for admin in admins:
        header = _signature_header(admin)
        signed.signatures.add(signature_header=header, signature=admin.sign(header + raw))
    return _envelope(chain, common_pb2.HeaderType.CONFIG_UPDATE, signed.SerializeToString(), admins[0])


def _envelope(
    chain: str, kind: int, data: bytes, signer: Signer, certificate_hash: bytes = b""
) -> common_pb2.Envelope:
    header = common_pb2.ChannelHeader(type=kind, channel_id=chain, tls_cert_hash=certificate_hash)
    header.timestamp.GetCurrentTime()
    payload = common_pb2.Payload(
        header=common_pb2.Header(
            channel_header=header.SerializeToString(), signature_header=_signature_header(signer)
        ),
        data=data,
    ).SerializeToString()
    return common_pb2.Envelope(payload=payload, signature=signer.sign(payload))


def _signature_header(signer: Signer) -> bytes:
    header = common_pb2.SignatureHeader(creator=signer.serialized(), nonce=secrets.token_bytes(24))
    return bytes(header.SerializeToString())
