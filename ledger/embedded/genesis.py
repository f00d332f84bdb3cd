"""Block 0: a real configuration block, as ``configtxgen`` would write it.

Groups ``Application`` and ``Orderer`` hold the organisations with their MSPs; the policy ``Endorsement`` is
one n-out-of over one PEER principal an organisation, so that "two of any" never means two peers of one;
blocks are signed by one orderer, as with a single Raft orderer. Source: Fabric 3.1.5 common/channelconfig.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2, msp_principal_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from identity.msp import Msp
from protocol.blocks import data_hash
from protocol.transactions import transaction_id

__all__ = ["MAX_MESSAGES", "PREFERRED_BLOCK_BYTES", "build_genesis"]

_ROLE = msp_principal_pb2.MSPRole.MSPRoleType
_ADMINS: Final = "Admins"
_MAX_BLOCK_BYTES: Final = 8 * 1024 * 1024
PREFERRED_BLOCK_BYTES: Final = 2 * 1024 * 1024
"""One transaction may be larger; two go into one block only within this."""
MAX_MESSAGES: Final = 100


def build_genesis(
    chain: str,
    organisations: Sequence[msp_config_pb2.MSPConfig],
    orderers: Sequence[msp_config_pb2.MSPConfig],
    *,
    now: datetime,
    endorsements: int = 2,
) -> common_pb2.Block:
    """Make the genesis block of a chain.

    Args:
        chain: its id, ``[a-z][a-z0-9-]{0,62}``.
        organisations: MSP configurations of the organisations that endorse.
        orderers: MSP configurations of the organisations whose orderers sign blocks.
        now: the block's date, with a time zone.
        endorsements: how many distinct organisations must endorse a transaction.

    Returns:
        Block 0. Two calls give two chains: its envelope holds a fresh nonce.

    Raises:
        MalformedIdentity, UntrustedCertificate: an MSP configuration does not hold.
        ValueError: fewer organisations than endorsements, or one of them twice.
    """
    members = _named(organisations)
    if not 1 <= endorsements <= len(members):
        raise ValueError(f"{endorsements} of {len(members)} organisations cannot endorse")
    channel = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    channel.groups["Application"].CopyFrom(_application(members, endorsements))
    channel.groups["Orderer"].CopyFrom(_orderer(_named(orderers)))
    _implicit_policies(channel)
    _put(channel, "HashingAlgorithm", configuration_pb2.HashingAlgorithm(name="SHA256"))
    _put(
        channel,
        "BlockDataHashingStructure",
        configuration_pb2.BlockDataHashingStructure(width=2**32 - 1),
    )
    _put(channel, "Capabilities", _capabilities("V3_0"))
    envelope = configtx_pb2.ConfigEnvelope(config=configtx_pb2.Config(sequence=0, channel_group=channel))
    return _block(chain, envelope.SerializeToString(deterministic=True), now)


def _application(members: dict[str, bytes], endorsements: int) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    for msp_id, raw in members.items():
        group.groups[msp_id].CopyFrom(_member(msp_id, raw, with_peers=True))
    _implicit_policies(group)
    policy = _signature_policy(endorsements, [(msp_id, _ROLE.PEER) for msp_id in members])
    group.policies["Endorsement"].CopyFrom(policy)
    group.policies["LifecycleEndorsement"].CopyFrom(policy)
    _put(group, "Capabilities", _capabilities("V2_5"))
    return group


def _orderer(members: dict[str, bytes]) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    for msp_id, raw in members.items():
        group.groups[msp_id].CopyFrom(_member(msp_id, raw, with_peers=False))
    _implicit_policies(group)
    group.policies["BlockValidation"].CopyFrom(
        _signature_policy(1, [(msp_id, _ROLE.ORDERER) for msp_id in members])
    )
    state = orderer_pb2.ConsensusType.State.STATE_NORMAL
    _put(group, "ConsensusType", orderer_pb2.ConsensusType(type="etcdraft", state=state))
    _put(
        group,
        "BatchSize",
        orderer_pb2.BatchSize(
            max_message_count=MAX_MESSAGES,
            absolute_max_bytes=_MAX_BLOCK_BYTES,
            preferred_max_bytes=PREFERRED_BLOCK_BYTES,
        ),
    )
    _put(group, "BatchTimeout", orderer_pb2.BatchTimeout(timeout="5ms"))
    _put(group, "ChannelRestrictions", orderer_pb2.ChannelRestrictions())
    _put(group, "Capabilities", _capabilities("V2_0"))
    return group


def _member(msp_id: str, raw: bytes, *, with_peers: bool) -> configtx_pb2.ConfigGroup:
    group = configtx_pb2.ConfigGroup(mod_policy=_ADMINS)
    group.values["MSP"].value = raw
    group.values["MSP"].mod_policy = _ADMINS
    for name, role in (("Readers", _ROLE.MEMBER), ("Writers", _ROLE.MEMBER), (_ADMINS, _ROLE.ADMIN)):
        group.policies[name].CopyFrom(_signature_policy(1, [(msp_id, role)]))
    if with_peers:
        group.policies["Endorsement"].CopyFrom(_signature_policy(1, [(msp_id, _ROLE.PEER)]))
    return group


def _signature_policy(required: int, principals: Iterable[tuple[str, int]]) -> configtx_pb2.ConfigPolicy:
    identities = [
        msp_principal_pb2.MSPPrincipal(
            principal_classification=msp_principal_pb2.MSPPrincipal.Classification.ROLE,
            principal=msp_principal_pb2.MSPRole(msp_identifier=msp_id, role=role).SerializeToString(
                deterministic=True
            ),
        )
        for msp_id, role in principals
    ]
    rules = [policies_pb2.SignaturePolicy(signed_by=index) for index in range(len(identities))]
    envelope = policies_pb2.SignaturePolicyEnvelope(
        rule=policies_pb2.SignaturePolicy(
            n_out_of=policies_pb2.SignaturePolicy.NOutOf(n=required, rules=rules)
        ),
        identities=identities,
    )
    return _policy(policies_pb2.Policy.PolicyType.SIGNATURE, envelope)


def _implicit_policies(group: configtx_pb2.ConfigGroup) -> None:
    rule = policies_pb2.ImplicitMetaPolicy.Rule
    for name, how in (("Readers", rule.ANY), ("Writers", rule.ANY), (_ADMINS, rule.MAJORITY)):
        meta = policies_pb2.ImplicitMetaPolicy(sub_policy=name, rule=how)
        group.policies[name].CopyFrom(_policy(policies_pb2.Policy.PolicyType.IMPLICIT_META, meta))


def _policy(kind: int, message: Any) -> configtx_pb2.ConfigPolicy:
    value = message.SerializeToString(deterministic=True)
    return configtx_pb2.ConfigPolicy(mod_policy=_ADMINS, policy=policies_pb2.Policy(type=kind, value=value))


def _put(group: configtx_pb2.ConfigGroup, name: str, message: Any) -> None:
    group.values[name].value = message.SerializeToString(deterministic=True)
    group.values[name].mod_policy = _ADMINS


def _capabilities(name: str) -> configuration_pb2.Capabilities:
    capabilities = configuration_pb2.Capabilities()
    capabilities.capabilities[name].SetInParent()
    return capabilities


def _named(configs: Sequence[msp_config_pb2.MSPConfig]) -> dict[str, bytes]:
    """MSP id to configuration bytes, sorted, each checked."""
    found: dict[str, bytes] = {}
    for config in configs:
        raw = config.SerializeToString(deterministic=True)
        msp_id = Msp.from_config(raw).msp_id
        if msp_id in found:
            raise ValueError(f"organisation {msp_id!r} is given twice")
        found[msp_id] = raw
    return dict(sorted(found.items()))


def _block(chain: str, data: bytes, now: datetime) -> common_pb2.Block:
    nonce = os.urandom(24)
    timestamp = Timestamp()
    timestamp.FromDatetime(now)
    channel = common_pb2.ChannelHeader(
        type=common_pb2.HeaderType.CONFIG,
        version=1,
        timestamp=timestamp,
        channel_id=chain,
        tx_id=transaction_id(nonce, b""),
    )
    header = common_pb2.Header(
        channel_header=channel.SerializeToString(deterministic=True),
        signature_header=common_pb2.SignatureHeader(nonce=nonce).SerializeToString(deterministic=True),
    )
    payload = common_pb2.Payload(header=header, data=data)
    envelope = common_pb2.Envelope(payload=payload.SerializeToString(deterministic=True))
    raw = envelope.SerializeToString(deterministic=True)
    # As configtxgen does: block 0 carries the index of the configuration and no signature.
    value = common_pb2.OrdererBlockMetadata(last_config=common_pb2.LastConfig(index=0))
    last = common_pb2.Metadata(value=common_pb2.LastConfig(index=0).SerializeToString(deterministic=True))
    signatures = common_pb2.Metadata(value=value.SerializeToString(deterministic=True))
    return common_pb2.Block(
        header=common_pb2.BlockHeader(number=0, previous_hash=b"", data_hash=data_hash([raw])),
        data=common_pb2.BlockData(data=[raw]),
        metadata=common_pb2.BlockMetadata(
            metadata=[
                signatures.SerializeToString(deterministic=True),
                last.SerializeToString(deterministic=True),
                bytes(1),
                b"",
                b"",
            ]
        ),
    )
