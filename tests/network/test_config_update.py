"""The difference of two configurations is what Fabric's own tool computes."""

from __future__ import annotations

import copy
import subprocess
from pathlib import Path

import fabric_tools
import pytest
from chains import make_chain
from fabric_protos.common import common_pb2, configtx_pb2
from fabric_protos.orderer import configuration_pb2 as orderer_pb2
from fabric_protos.orderer.smartbft import configuration_pb2 as smartbft_pb2
from scratch_contract import invoke

from network.config_update import change_batch, change_consenters, change_msp, compute_update
from network.errors import NetworkError
from network.topology import Batch


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> configtx_pb2.Config:
    """The embedded ledger's configuration is one of Fabric's."""
    made = make_chain(tmp_path_factory.mktemp("chain"), "edge-a", invoke=invoke)
    made.close()
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(made.genesis.data.data[0]).payload)
    found = configtx_pb2.ConfigEnvelope.FromString(payload.data).config
    found.channel_group.groups["Orderer"].values["BatchSize"].version = 3
    found.channel_group.groups["Application"].version = 2
    return found


def _drop_an_organisation(group: configtx_pb2.ConfigGroup) -> None:
    del group.groups["Application"].groups["Org2MSP"]


def _add_an_organisation(group: configtx_pb2.ConfigGroup) -> None:
    application = group.groups["Application"]
    application.groups["Org3MSP"].CopyFrom(application.groups["Org1MSP"])


def _drop_a_value_and_change_a_policy(group: configtx_pb2.ConfigGroup) -> None:
    del group.groups["Orderer"].values["ChannelRestrictions"]
    group.groups["Application"].policies["Admins"].policy.type = 7
    group.groups["Application"].policies["More"].mod_policy = "Admins"
    group.mod_policy = "Writers"


CHANGES = [
    change_batch(Batch(messages=50)),
    change_msp("OrdererMSP", revocation_lists=[b"-----BEGIN X509 CRL-----"]),
    change_msp("Org1MSP", roots=[b"one", b"two"]),
    change_consenters(lambda consenters: None),
    _drop_an_organisation,
    _add_an_organisation,
    _drop_a_value_and_change_a_policy,
]


def changed(config: configtx_pb2.Config, change: object) -> configtx_pb2.Config:
    after = copy.deepcopy(config)
    change(after.channel_group)  # type: ignore[operator]
    return after


@pytest.mark.fabric
@pytest.mark.parametrize("number", [0, 1, 2, 4, 5, 6])
def test_configtxlator_computes_the_same(config: configtx_pb2.Config, number: int, tmp_path: Path) -> None:
    after = changed(config, CHANGES[number])
    (tmp_path / "before").write_bytes(config.SerializeToString())
    (tmp_path / "after").write_bytes(after.SerializeToString())
    program = fabric_tools.tool("configtxlator")
    arguments = ["compute_update", "--channel_id", "edge-a", "--original", "before", "--updated", "after"]
    done = subprocess.run(
        [program, *arguments, "--output", "update"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wanted = configtx_pb2.ConfigUpdate.FromString((tmp_path / "update").read_bytes())
    assert compute_update("edge-a", config.channel_group, after.channel_group) == wanted


def test_no_difference_is_no_update(config: configtx_pb2.Config) -> None:
    after = copy.deepcopy(config)
    after.channel_group.groups["Orderer"].values["BatchSize"].version = 9  # nobody's to change
    with pytest.raises(NetworkError, match="nothing"):
        compute_update("edge-a", config.channel_group, after.channel_group)


def test_only_what_changes_is_written(config: configtx_pb2.Config) -> None:
    after = changed(config, CHANGES[0])
    update = compute_update("edge-a", config.channel_group, after.channel_group)
    assert [*update.read_set.groups] == [*update.write_set.groups] == ["Orderer"]
    values = update.write_set.groups["Orderer"].values
    assert {name: value.version for name, value in values.items()} == {"BatchSize": 4, "BatchTimeout": 1}


def test_smartbft_has_its_own_interval(config: configtx_pb2.Config) -> None:
    value = config.channel_group.groups["Orderer"].values["ConsensusType"]
    options = smartbft_pb2.Options(request_batch_max_interval="50ms", request_pool_size=7)
    value.value = orderer_pb2.ConsensusType(
        type="BFT", metadata=options.SerializeToString()
    ).SerializeToString()
    after = changed(config, change_batch(Batch(timeout="2s")))
    value = after.channel_group.groups["Orderer"].values["ConsensusType"]
    consensus = orderer_pb2.ConsensusType.FromString(value.value)
    options.request_batch_max_interval = "2s"
    assert consensus.type == "BFT"
    assert smartbft_pb2.Options.FromString(consensus.metadata) == options


def test_an_organisation_that_is_not_there(config: configtx_pb2.Config) -> None:
    with pytest.raises(NetworkError, match="StrangerMSP"):
        changed(config, change_msp("StrangerMSP", roots=[b"x"]))
