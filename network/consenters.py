"""Keeping what a channel says of its orderers true: the certificates by which they know each other.

A channel's configuration names every orderer's TLS certificates, with SmartBFT also the one that it signs
blocks with. A certificate that was renewed under the same key goes on working and is named afterwards. A new
key must be known to the channel before its orderer uses it; it waits in the orderer's ``next`` folder. Then
the channel learns it, the orderer takes it over and restarts, before the next orderer's turn: an ordering
service that bears one absent orderer goes on without a pause. Killed anywhere, the next call goes on.

The only orderer of a Raft chain keeps its TLS key: its leader hands over before its own certificate changes,
and there is nobody else (etcdraft/chain.go, checkForEvictionNCertRotation).

Source: Fabric 3.1.5 orderer/consensus/etcdraft (membership.go: one consenter a change), smartbft.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from fabric_protos.common import configtx_pb2, configuration_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2

from identity import IdentityError, Signer, TlsIdentity
from identity.certificates import read_pem, spki_of_certificate
from network.config_update import change_consenters
from network.errors import IdentityProblem
from network.identities import write_node_folder
from network.layout import Layout
from network.network import Network
from network.topology import Node, Topology
from network.updates import read_configuration, update_channel

__all__ = ["keeps_tls_key", "settle_orderers", "waiting"]

_PARTS = ("tls", "identity")


def waiting(layout: Layout, node: Node) -> bool:
    """Whether an orderer has got new keys that it does not use yet."""
    return any((layout.next_folder(node.name) / part / "cert.pem").is_file() for part in _PARTS)


def keeps_tls_key(topology: Topology, node: Node) -> bool:
    """Whether an orderer's TLS key cannot be replaced: it is the only one of a Raft chain."""
    spec = topology.chain(node.chain)
    return spec.ordering == "raft" and sum(spec.orderers.values()) == 1


def settle_orderers(
    network: Network, chain: str, restart: Callable[[Node], None], progress: Callable[[str], None]
) -> bool:
    """Have a running chain name its orderers' present certificates; orderers with new keys take them over.

    One that was taken out of the channel is left alone.

    Args:
        network: with all the chain's administrators' keys.
        chain: the channel's id.
        restart: restarts a process and waits until it is back.
        progress: called with one line a step.

    Returns:
        Whether anything had to be done.

    Raises:
        IdentityProblem: what waits cannot be used.
        CommandFailed: the orderers refuse a change.
        NotReady: they do not answer, or one does not come back.
    """
    layout = network.layout
    done = False
    for node in network.topology.select(chain=chain, kind="orderer"):
        take = waiting(layout, node)
        wanted = _certificates(layout, node)
        named = _consenter(read_configuration(network, chain).config.channel_group, node)
        if named is None:
            progress(f"{chain}: {node.name} ({node.endpoint}) is not among the channel's orderers")
            continue
        if keeps_tls_key(network.topology, node):
            if _key_of(named.server_tls_cert) != _key_of(wanted.tls):
                raise IdentityProblem(
                    f"{node.name} is its chain's only orderer, and with Raft keeps its TLS key: certify that "
                    "again, or have a second orderer first"
                )
        elif wanted.change(named):
            done = True
            progress(f"{chain}: naming the certificates of {node.name} in the channel")

            def change(consenters: list[Any], node: Node = node, wanted: _Certificates = wanted) -> None:
                named = _find(consenters, node)
                if named is not None:
                    wanted.change(named)

            update_channel(network, chain, change_consenters(change))
        if take:
            _take_over(layout, node)
            progress(f"{chain}: {node.name} takes over its new keys")
            restart(node)
            done = True
    return done


class _Certificates:
    """What a channel shall say of one orderer."""

    def __init__(self, tls: bytes, identity: bytes) -> None:
        self.tls = tls
        self.identity = identity

    def change(self, consenter: Any) -> bool:
        """Put them in; whether any is another one. The same one may be written with other line ends."""
        wanted = {"client_tls_cert": self.tls, "server_tls_cert": self.tls}
        if hasattr(consenter, "identity"):  # SmartBFT's
            wanted["identity"] = self.identity
        others = [name for name in wanted if _plain(getattr(consenter, name)) != _plain(wanted[name])]
        for name in others:
            setattr(consenter, name, wanted[name])
        return bool(others)


def _certificates(layout: Layout, node: Node) -> _Certificates:
    def newest(part: str) -> Path:
        folder = layout.next_folder(node.name) / part
        return folder if (folder / "cert.pem").is_file() else layout.node(node.name) / part

    try:
        tls = TlsIdentity.load(newest("tls")).certificate_pem
        identity = Signer.load(newest("identity"), msp_id=node.msp_id).certificate_pem
    except IdentityError as error:
        raise IdentityProblem(f"{node.name}: {error}") from error
    return _Certificates(tls, identity)


def _consenter(group: configtx_pb2.ConfigGroup, node: Node) -> Any:
    values = group.groups["Orderer"].values
    consensus = orderer_pb2.ConsensusType.FromString(values["ConsensusType"].value)
    if consensus.type == "etcdraft":
        return _find(raft_pb2.ConfigMetadata.FromString(consensus.metadata).consenters, node)
    return _find(configuration_pb2.Orderers.FromString(values["Orderers"].value).consenter_mapping, node)


def _find(consenters: Any, node: Node) -> Any:
    for consenter in consenters:
        if (consenter.host, consenter.port) == (node.address, node.ports["grpc"]):
            return consenter
    return None


def _plain(certificate: bytes) -> bytes:
    return read_pem(certificate, strict=False).public_bytes(Encoding.DER)


def _key_of(certificate: bytes) -> bytes:
    return spki_of_certificate(read_pem(certificate, strict=False))


def _take_over(layout: Layout, node: Node) -> None:
    """What waited is used from the next start on; until all of it is in its place it still waits."""
    folder, home = layout.next_folder(node.name), layout.node(node.name)
    if (folder / "tls" / "cert.pem").is_file():
        TlsIdentity.load(folder / "tls").save(home / "tls")
    if (folder / "identity" / "cert.pem").is_file():
        Signer.load(folder / "identity", msp_id=node.msp_id).save(home / "identity")
    write_node_folder(layout, node)
    shutil.rmtree(folder)
