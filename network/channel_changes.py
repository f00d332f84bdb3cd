"""Changes of a running chain's configuration that an operator asks for, kept true in the network's folder."""

from __future__ import annotations

from pathlib import Path

from fabric_protos.common import configtx_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2

from network.config_update import change_batch
from network.files import write_text
from network.network import Network
from network.records import working_alone
from network.topology import Batch
from network.topology_file import dump_topology
from network.updates import read_configuration, update_channel

__all__ = ["set_batch"]


def set_batch(root: Path, chain: str, *, timeout: str, messages: int) -> int:
    """Change when a running chain's orderers cut a block, and write it into the network's topology.

    May be called again: where the chain cuts blocks so already, only the topology is put right.

    Args:
        root: the network's folder.
        chain: the channel's id.
        timeout: how long orderers wait for more, for instance ``200ms``.
        messages: how many transactions fill a block.

    Returns:
        The number of the configuration block from which on this holds.

    Raises:
        TopologyError: no such chain, no duration, or a number out of bounds; nothing was submitted.
        CommandFailed: the orderers refuse.
        NotReady: they do not answer.
        NetworkError: there is no network, or another command is changing it.
    """
    network = Network(root)
    with working_alone(network.layout.run):
        wanted = network.topology.with_batch(chain, timeout=timeout, messages=messages)
        batch = wanted.chain(chain).batch
        found = read_configuration(network, chain)
        if _batch_of(found.config.channel_group) != batch:
            found = update_channel(network, chain, change_batch(batch))
        write_text(network.layout.topology, dump_topology(wanted))
        return found.number


def _batch_of(group: configtx_pb2.ConfigGroup) -> Batch:
    values = group.groups["Orderer"].values
    size = orderer_pb2.BatchSize.FromString(values["BatchSize"].value)
    timeout = orderer_pb2.BatchTimeout.FromString(values["BatchTimeout"].value).timeout
    return Batch(timeout, size.max_message_count, size.preferred_max_bytes, size.absolute_max_bytes)
