"""What a change of a channel's configuration asks of the channel: a difference of two configurations.

A configuration update names what it read and what it writes, each element with its version; the orderers and
peers apply it only if nothing that was read has changed, and if those sign who may change what is written.

Source: Fabric 3.1.5 common/configtx (update.go, validator.go); docs, "Updating a channel configuration".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fabric_protos.common import configtx_pb2, configuration_pb2, policies_pb2
from fabric_protos.msp import msp_config_pb2, msp_principal_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.etcdraft import configuration_pb2 as raft_pb2
from fabric_protos.orderer.smartbft import configuration_pb2 as smartbft_pb2

from identity import serialize_identity
from network.errors import NetworkError
from network.topology import Batch

__all__ = ["Change", "change_batch", "change_consenters", "change_msp", "compute_update", "would_change"]

Change = Callable[[configtx_pb2.ConfigGroup], None]
"""Changes the channel's group in place."""

_MEMBERS: Final = ("Application", "Orderer")


def compute_update(
    channel: str, before: configtx_pb2.ConfigGroup, after: configtx_pb2.ConfigGroup
) -> configtx_pb2.ConfigUpdate:
    """The update that makes ``after`` of ``before``.

    Raises:
        NetworkError: there is no difference.
    """
    read, write, changed = _difference(before, after)
    if not changed:
        raise NetworkError(f"nothing of the configuration of {channel} would change")
    return configtx_pb2.ConfigUpdate(channel_id=channel, read_set=read, write_set=write)


def would_change(group: configtx_pb2.ConfigGroup, change: Change) -> bool:
    """Whether a change makes anything otherwise than it is."""
    after = configtx_pb2.ConfigGroup()
    after.CopyFrom(group)
    change(after)
    return _difference(group, after)[2]


def change_batch(batch: Batch) -> Change:
    """When the orderers cut a block."""

    def change(group: configtx_pb2.ConfigGroup) -> None:
        values = group.groups["Orderer"].values
        size = orderer_pb2.BatchSize(
            max_message_count=batch.messages,
            absolute_max_bytes=batch.absolute_bytes,
            preferred_max_bytes=batch.preferred_bytes,
        )
        values["BatchSize"].value = size.SerializeToString()
        values["BatchTimeout"].value = orderer_pb2.BatchTimeout(timeout=batch.timeout).SerializeToString()
        consensus = orderer_pb2.ConsensusType.FromString(values["ConsensusType"].value)
        if consensus.type == "BFT":
            # SmartBFT has the interval among its own options and does not look at BatchTimeout.
            options = smartbft_pb2.Options.FromString(consensus.metadata)
            options.request_batch_max_interval = batch.timeout
            consensus.metadata = options.SerializeToString(deterministic=True)
            values["ConsensusType"].value = consensus.SerializeToString(deterministic=True)

    return change


def change_msp(
    msp_id: str,
    *,
    roots: Sequence[bytes] | None = None,
    intermediates: Sequence[bytes] | None = None,
    revocation_lists: Sequence[bytes] | None = None,
    tls_roots: Sequence[bytes] | None = None,
    tls_intermediates: Sequence[bytes] | None = None,
) -> Change:
    """The authorities and revocation lists (PEM) by which an organisation's members are known.

    What is None stays as it is.

    An organisation that has peers and orderers stands in two groups: both change at once, for Fabric takes no
    two definitions of one MSP. Node classes then count under any of the roots.
    """

    def change(group: configtx_pb2.ConfigGroup) -> None:
        found = [
            group.groups[part].groups[msp_id] for part in _MEMBERS if msp_id in group.groups[part].groups
        ]
        if not found:
            raise NetworkError(f"the channel has no organisation {msp_id!r}")
        for member in found:
            outer = msp_config_pb2.MSPConfig.FromString(member.values["MSP"].value)
            inner = msp_config_pb2.FabricMSPConfig.FromString(outer.config)
            if roots is not None and list(roots) != list(inner.root_certs):
                for name in ("client", "peer", "admin", "orderer"):
                    getattr(inner.fabric_node_ous, f"{name}_ou_identifier").ClearField("certificate")
            for field, wanted in (
                (inner.root_certs, roots),
                (inner.intermediate_certs, intermediates),
                (inner.revocation_list, revocation_lists),
                (inner.tls_root_certs, tls_roots),
                (inner.tls_intermediate_certs, tls_intermediates),
            ):
                if wanted is not None:
                    del field[:]
                    field.extend(wanted)
            outer.config = inner.SerializeToString(deterministic=True)
            member.values["MSP"].value = outer.SerializeToString(deterministic=True)

    return change


def change_consenters(change: Callable[[list[Any]], None]) -> Change:
    """Who orders: ``change`` edits the list of consenters in place, one consenter at a time.

    With Raft these are ``etcdraft.Consenter`` (host, port, TLS certificates), with SmartBFT
    ``common.Consenter`` (also a number, an MSP and the certificate that it signs blocks with).
    """

    def edit(group: configtx_pb2.ConfigGroup) -> None:
        values = group.groups["Orderer"].values
        consensus = orderer_pb2.ConsensusType.FromString(values["ConsensusType"].value)
        if consensus.type == "etcdraft":
            metadata = raft_pb2.ConfigMetadata.FromString(consensus.metadata)
            _edit(metadata.consenters, change)
            consensus.metadata = metadata.SerializeToString(deterministic=True)
            values["ConsensusType"].value = consensus.SerializeToString(deterministic=True)
        else:
            orderers = configuration_pb2.Orderers.FromString(values["Orderers"].value)
            _edit(orderers.consenter_mapping, change)
            values["Orderers"].value = orderers.SerializeToString(deterministic=True)
            policy = _quorum_of(orderers.consenter_mapping)
            group.groups["Orderer"].policies["BlockValidation"].policy.CopyFrom(policy)

    return edit


def _quorum_of(consenters: Any) -> policies_pb2.Policy:
    """What Fabric demands as block validation with SmartBFT: a quorum of just these identities.

    Source: Fabric 3.1.5 common/policies/bft.go.
    """
    count = len(consenters)
    faulty = (count - 1) // 3
    principal = msp_principal_pb2.MSPPrincipal
    envelope = policies_pb2.SignaturePolicyEnvelope(
        rule=policies_pb2.SignaturePolicy(
            n_out_of=policies_pb2.SignaturePolicy.NOutOf(
                n=(count + faulty + 2) // 2,
                rules=[policies_pb2.SignaturePolicy(signed_by=at) for at in range(count)],
            )
        ),
        identities=[
            principal(
                principal_classification=principal.Classification.IDENTITY,
                principal=serialize_identity(one.msp_id, one.identity),
            )
            for one in consenters
        ],
    )
    return policies_pb2.Policy(
        type=policies_pb2.Policy.PolicyType.SIGNATURE, value=envelope.SerializeToString(deterministic=True)
    )


def _edit(consenters: Any, change: Callable[[list[Any]], None]) -> None:
    edited = list(consenters)
    change(edited)
    kept = [type(one).FromString(one.SerializeToString()) for one in edited]
    del consenters[:]
    consenters.extend(kept)


def _difference(
    before: configtx_pb2.ConfigGroup, after: configtx_pb2.ConfigGroup
) -> tuple[configtx_pb2.ConfigGroup, configtx_pb2.ConfigGroup, bool]:
    """What is read and what is written of a group, and whether anything is.

    A group's own version counts its members and its policy of change: where one comes or goes, all that stay
    are named in both sets.
    """
    read = configtx_pb2.ConfigGroup(version=before.version)
    write = configtx_pb2.ConfigGroup(version=before.version)
    changed = False
    members = before.mod_policy != after.mod_policy
    same: list[tuple[str, str, int]] = []
    for part in ("values", "policies"):
        old, new, written = (getattr(group, part) for group in (before, after, write))
        members |= set(old) != set(new)
        for name in new:
            if name in old and _equal(old[name], new[name]):
                same.append((part, name, old[name].version))
                continue
            written[name].CopyFrom(new[name])
            written[name].version = old[name].version + 1 if name in old else 0
            changed = True
    members |= set(before.groups) != set(after.groups)
    for name in after.groups:
        if name not in before.groups:
            write.groups[name].CopyFrom(_unversioned(after.groups[name]))
            continue
        inner_read, inner_write, inner_changed = _difference(before.groups[name], after.groups[name])
        if inner_changed:
            read.groups[name].CopyFrom(inner_read)
            write.groups[name].CopyFrom(inner_write)
            changed = True
        else:
            same.append(("groups", name, before.groups[name].version))
    if members:
        write.version += 1
        write.mod_policy = after.mod_policy
        for part, name, version in same:
            for group in (read, write):
                getattr(group, part)[name].version = version
    return read, write, changed or members


def _equal(old: Any, new: Any) -> bool:
    plain = []
    for element in (old, new):
        copied = type(element)()
        copied.CopyFrom(element)
        copied.version = 0
        plain.append(copied.SerializeToString(deterministic=True))
    first, second = plain
    return bool(first == second)


def _unversioned(group: configtx_pb2.ConfigGroup) -> configtx_pb2.ConfigGroup:
    copied = configtx_pb2.ConfigGroup()
    copied.CopyFrom(group)
    copied.version = 0
    parts: tuple[Mapping[str, Any], ...] = (copied.values, copied.policies)
    for part in parts:
        for name in part:
            part[name].version = 0
    for name in copied.groups:
        copied.groups[name].CopyFrom(_unversioned(copied.groups[name]))
    return copied
