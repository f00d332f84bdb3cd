"""A channel's configuration: which organisations there are, who endorses, who orders.

Read from a configuration block (``common.ConfigEnvelope``), the embedded ledger's or Fabric's own alike. The
key of a member is valid by the configuration that was in force at a block's height, never by the wall clock:
whoever follows a chain takes each configuration block under its predecessor.

Sources: Fabric 3.1.5 common/channelconfig (groups and values), common/configtx/validator.go:171 (sequence),
common/policies/bft.go:27 (quorum).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from fabric_protos.common import common_pb2, configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_principal_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from identity.certificates import read_pem, spki_of_certificate
from identity.errors import IdentityError
from identity.msp import Msp, MspManager
from protocol.blocks import header_hash, last_configuration, parse_message, verify_block_signature
from protocol.errors import InvalidBlock

__all__ = ["Configuration", "Consenter", "EndorsementPolicy"]

_POLICY = policies_pb2.Policy.PolicyType
_ANY: Final = 0
_ALL: Final = 1
_MAJORITY: Final = 2


@dataclass(frozen=True)
class EndorsementPolicy:
    """``required`` distinct organisations out of ``organisations``, one principal each."""

    required: int
    organisations: frozenset[str]
    peers_only: bool = True
    """Whether the principal is PEER; false where a configuration says MEMBER."""

    def __post_init__(self) -> None:
        if not 1 <= self.required <= len(self.organisations):
            raise ValueError(f"{self.required} of {len(self.organisations)} organisations cannot be a policy")


@dataclass(frozen=True)
class Consenter:
    """One BFT orderer."""

    number: int
    msp_id: str
    certificate_pem: bytes


@dataclass(frozen=True)
class Configuration:
    """A channel's configuration at one height."""

    chain: str
    sequence: int
    block: int
    """Number of the configuration block."""
    header_hash: bytes
    organisations: tuple[str, ...]
    """MSP ids of the application's organisations, sorted."""
    orderer_organisations: tuple[str, ...]
    consensus: str
    """Fabric's name: ``etcdraft`` or ``BFT``."""
    consenters: dict[int, Consenter]
    """By id; empty unless the consensus is BFT."""
    endorsement: EndorsementPolicy
    msps: MspManager
    max_block_bytes: int
    """The orderers' absolute limit for the envelopes of one block."""

    @classmethod
    def from_block(cls, block: common_pb2.Block) -> Configuration:
        """Read a configuration block.

        Nothing is trusted by this: compare block 0's hash with a trust root, take later ones by
        ``successor``.

        Raises:
            InvalidBlock: the block carries no readable configuration, or one that cannot be enforced here.
        """
        if len(block.data.data) != 1:
            raise InvalidBlock(f"block {block.header.number} is no configuration block")
        envelope = parse_message(common_pb2.Envelope, block.data.data[0], "envelope")
        payload = parse_message(common_pb2.Payload, envelope.payload, "payload")
        header = parse_message(common_pb2.ChannelHeader, payload.header.channel_header, "channel header")
        if header.type != common_pb2.HeaderType.CONFIG:
            raise InvalidBlock(f"block {block.header.number} is no configuration block")
        config = parse_message(configtx_pb2.ConfigEnvelope, payload.data, "configuration").config
        groups = config.channel_group.groups
        if "Application" not in groups or "Orderer" not in groups:
            raise InvalidBlock("the configuration lacks the application's or the orderers' group")
        msps: dict[str, tuple[bytes, Msp]] = {}
        organisations = _organisations(groups["Application"], msps)
        orderers = _organisations(groups["Orderer"], msps)
        manager = MspManager()
        for _, msp in msps.values():
            manager.add(msp)
        consensus = _consensus(groups["Orderer"])
        return cls(
            chain=header.channel_id,
            sequence=int(config.sequence),
            block=int(block.header.number),
            header_hash=header_hash(block.header),
            organisations=organisations,
            orderer_organisations=orderers,
            consensus=consensus,
            consenters=_consenters(groups["Orderer"]) if consensus == "BFT" else {},
            endorsement=_endorsement(groups["Application"]),
            msps=manager,
            max_block_bytes=_max_block_bytes(groups["Orderer"]),
        )

    def successor(self, block: common_pb2.Block) -> Configuration:
        """The next configuration, verified under this one: orderers' signatures, channel, sequence + 1.

        Raises:
            InvalidBlock: it does not follow.
        """
        verify_block_signature(block, self)
        following = Configuration.from_block(block)
        if following.chain != self.chain or following.sequence != self.sequence + 1:
            raise InvalidBlock(
                f"configuration {following.sequence} of {following.chain!r} does not follow "
                f"{self.sequence} of {self.chain!r}"
            )
        if last_configuration(block) != following.block:
            raise InvalidBlock(f"configuration block {following.block} does not name itself")
        return following

    @property
    def orderer_quorum(self) -> int:
        """How many distinct orderers must sign a block: 1 with Raft, ceil((n + f + 1) / 2) with BFT."""
        count = len(self.consenters)
        if not count:
            return 1
        faulty = (count - 1) // 3
        return (count + faulty + 2) // 2

    def consenter_key(self, consenter: Consenter) -> bytes:
        """DER SubjectPublicKeyInfo of a consenter of this configuration."""
        return self._consenter_keys[consenter.number]

    @cached_property
    def _consenter_keys(self) -> dict[int, bytes]:
        return {
            number: spki_of_certificate(read_pem(consenter.certificate_pem, strict=False))
            for number, consenter in self.consenters.items()
        }


def _organisations(group: configtx_pb2.ConfigGroup, msps: dict[str, tuple[bytes, Msp]]) -> tuple[str, ...]:
    """Read the MSPs of a group's organisations into ``msps``; the same one may stand in both groups."""
    found = []
    for name, member in sorted(group.groups.items()):
        raw = bytes(member.values["MSP"].value) if "MSP" in member.values else b""
        try:
            msp = Msp.from_config(raw)
        except IdentityError as error:
            raise InvalidBlock(f"organisation {name!r}: {error}") from error
        known = msps.setdefault(msp.msp_id, (raw, msp))
        if known[0] != raw or msp.msp_id in found:
            raise InvalidBlock(f"MSP {msp.msp_id!r} is configured twice")
        found.append(msp.msp_id)
    if not found:
        raise InvalidBlock("the configuration names no organisation")
    return tuple(sorted(found))


def _endorsement(group: configtx_pb2.ConfigGroup) -> EndorsementPolicy:
    """The policy ``Endorsement`` of the application: n of one principal an organisation."""
    if "Endorsement" not in group.policies:
        raise InvalidBlock("the configuration has no endorsement policy")
    policy = group.policies["Endorsement"].policy
    try:
        if policy.type == _POLICY.SIGNATURE:
            return _signature_policy(policy.value)
        if policy.type == _POLICY.IMPLICIT_META:
            return _implicit_policy(policy.value, group)
    except ValueError as error:
        raise InvalidBlock(f"endorsement policy: {error}") from error
    raise InvalidBlock(f"an endorsement policy of type {policy.type} is not supported")


def _signature_policy(raw: bytes) -> EndorsementPolicy:
    envelope = parse_message(policies_pb2.SignaturePolicyEnvelope, raw, "endorsement policy")
    rule = envelope.rule.n_out_of
    organisations: list[str] = []
    roles = set()
    for entry in rule.rules:
        if entry.WhichOneof("Type") != "signed_by" or not 0 <= entry.signed_by < len(envelope.identities):
            raise InvalidBlock("an endorsement policy must be one n-out-of over principals")
        principal = envelope.identities[entry.signed_by]
        if principal.principal_classification != msp_principal_pb2.MSPPrincipal.Classification.ROLE:
            raise InvalidBlock("an endorsement policy must name roles")
        role = parse_message(msp_principal_pb2.MSPRole, principal.principal, "principal")
        organisations.append(role.msp_identifier)
        roles.add(role.role)
    known = msp_principal_pb2.MSPRole.MSPRoleType
    if not roles <= {known.PEER, known.MEMBER}:
        raise InvalidBlock("an endorsement policy must name peers or members")
    # "2 of any" must never mean two peers of one organisation.
    if len(set(organisations)) != len(organisations):
        raise InvalidBlock("an endorsement policy names an organisation twice")
    return EndorsementPolicy(rule.n, frozenset(organisations), peers_only=roles == {known.PEER})


def _implicit_policy(raw: bytes, group: configtx_pb2.ConfigGroup) -> EndorsementPolicy:
    """``ANY|ALL|MAJORITY Endorsement`` over the organisations' own policies, which name their peers."""
    meta = parse_message(policies_pb2.ImplicitMetaPolicy, raw, "endorsement policy")
    organisations: set[str] = set()
    for name, member in group.groups.items():
        if meta.sub_policy not in member.policies:
            raise InvalidBlock(f"organisation {name!r} has no policy {meta.sub_policy!r}")
        policy = member.policies[meta.sub_policy].policy
        if policy.type != _POLICY.SIGNATURE:
            raise InvalidBlock(f"organisation {name!r}: a signature policy is wanted")
        own = _signature_policy(policy.value)
        if len(own.organisations) != 1 or not own.peers_only:
            raise InvalidBlock(f"organisation {name!r}: its endorsement policy must name its own peers")
        organisations |= own.organisations
    count = len(organisations)
    required = {_ANY: 1, _ALL: count, _MAJORITY: count // 2 + 1}.get(meta.rule, 0)
    return EndorsementPolicy(required, frozenset(organisations))


def _consensus(group: configtx_pb2.ConfigGroup) -> str:
    if "ConsensusType" not in group.values:
        raise InvalidBlock("the configuration names no consensus")
    value = parse_message(orderer_pb2.ConsensusType, group.values["ConsensusType"].value, "consensus")
    return str(value.type)


def _max_block_bytes(group: configtx_pb2.ConfigGroup) -> int:
    if "BatchSize" not in group.values:
        raise InvalidBlock("the configuration names no batch size")
    value = parse_message(orderer_pb2.BatchSize, group.values["BatchSize"].value, "batch size")
    return int(value.absolute_max_bytes)


def _consenters(group: configtx_pb2.ConfigGroup) -> dict[int, Consenter]:
    if "Orderers" not in group.values:
        raise InvalidBlock("a BFT configuration must list its consenters")
    listed = parse_message(configuration_pb2.Orderers, group.values["Orderers"].value, "consenters")
    found: dict[int, Consenter] = {}
    certificates = set()
    for entry in listed.consenter_mapping:
        consenter = Consenter(int(entry.id), entry.msp_id, bytes(entry.identity))
        try:
            key = spki_of_certificate(read_pem(consenter.certificate_pem, strict=False))
        except IdentityError as error:
            raise InvalidBlock(f"consenter {consenter.number}: {error}") from error
        if consenter.number in found or key in certificates:
            raise InvalidBlock(f"consenter {consenter.number} is listed twice")
        found[consenter.number] = consenter
        certificates.add(key)
    if not found:
        raise InvalidBlock("a BFT configuration must list its consenters")
    return found
