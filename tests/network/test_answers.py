"""The marks that are looked for in the tools' words, held against the real tools' words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import MappingProxyType

import pytest
from fabric_network import fabric_bin

from network import Network
from network.answers import may_pass, without_usage
from network.errors import CommandFailed
from network.programs import OLDEST, find_programs, program_version, run_program
from network.tools import admin_environment, orderer_arguments
from network.topology import Node

CHAIN = "edge-a"
TOO_HIGH = "requested sequence 9 is larger than the next available sequence number"


def test_no_leader_may_pass_and_a_policy_may_not() -> None:
    """Of a missing leader no quick test makes a real orderer speak; these are its words (3.1.5)."""
    said = "failed to send transaction: got unexpected status: SERVICE_UNAVAILABLE -- no Raft leader"
    assert may_pass(said)
    assert not may_pass("transaction invalidated with status (ENDORSEMENT_POLICY_FAILURE)")
    assert not may_pass("got unexpected status: FORBIDDEN -- implicit policy evaluation failed")


def test_a_reason_is_not_lost_among_options() -> None:
    assert without_usage("Error: why\nUsage:\n  peer lifecycle …\n  --tls  Use TLS") == "Error: why"


class Site:
    """A running chain, and a tool that speaks to it as the first organisation's administrator."""

    def __init__(self, network: Network) -> None:
        self.layout = network.layout
        self.peer = network.topology.select(chain=CHAIN, kind="peer")[0]
        self.orderer = network.topology.select(chain=CHAIN, kind="orderer")[0]
        self.nowhere = dataclasses.replace(self.orderer, ports=MappingProxyType({"grpc": 1}))

    def fails(self, arguments: Sequence[str], orderer: Node | None = None) -> str:
        command = [find_programs(fabric_bin()).peer, "lifecycle", "chaincode", *arguments]
        command += ["--channelID", CHAIN, "--version", "1"]
        command += orderer_arguments(self.layout, self.peer, orderer or self.orderer)
        with pytest.raises(CommandFailed) as refusal:
            run_program(command, environment=admin_environment(self.layout, self.peer))
        return str(refusal.value)

    def approve(self, name: str, *more: str) -> list[str]:
        return ["approveformyorg", "--name", name, "--package-id", "p:1", *more]

    def commit(self, name: str, address: str) -> list[str]:
        roots = str(self.layout.tls_roots(self.peer.msp_id))
        where = ["--peerAddresses", address, "--tlsRootCertFiles", roots]
        return ["commit", "--name", name, "--sequence", "1", *where]


@pytest.mark.fabric
@pytest.mark.parametrize("name", ["peer", "orderer", "configtxgen"])
def test_what_the_real_programs_say_of_their_version(name: str) -> None:
    programs = find_programs(fabric_bin())
    found = program_version(name, getattr(programs, name))
    assert found is not None
    assert found[:2] >= OLDEST


def _too_late(site: Site) -> str:
    """What is said once the time is up; now and then the stream of blocks ends before it."""
    for number in range(10):
        said = site.fails(site.approve(f"late{number}", "--sequence", "1", "--waitForEventTimeout", "1ms"))
        assert may_pass(said)
        if "error receiving from deliver filtered" not in said:
            break
    return said


@pytest.mark.fabric
def test_what_the_real_tool_says(fabric_network: Network) -> None:
    site = Site(fabric_network)
    said = site.fails(site.approve("a", "--sequence", "1"), site.nowhere)
    assert "orderer client failed to connect to" in said
    assert may_pass(said)
    said = site.fails(site.commit("a", "127.0.0.1:1"))
    assert "endorser client failed to connect to" in said
    assert may_pass(said)
    said = _too_late(site)
    assert "timed out waiting for" in said
    said = site.fails(site.approve("a", "--sequence", "9"))
    assert TOO_HIGH in said
    assert not may_pass(said)
    # Approved by nobody, so the one peer that is asked does not endorse.
    said = site.fails(site.commit("never", site.peer.endpoint))
    assert "not agreed to by this org" in said
    assert not may_pass(said)
