"""What a peer does not know, against what it does not say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from identity import Signer
from network import Endpoint, Network
from network.errors import NotReady
from network.packages import CHAINCODE, Package
from network.system_chaincode import PeerQuestions

pytestmark = pytest.mark.fabric

CHAIN, MSP = "edge-a", "edge-a-owner"


def asked_by(
    network: Network, msp_id: str, endpoint: Endpoint | None = None, timeout_s: float = 10.0
) -> PeerQuestions:
    layout = network.layout
    admin = Signer.load(layout.identity(msp_id, "admin"), msp_id=msp_id)
    endpoint = endpoint or network.peer(CHAIN, MSP)
    return PeerQuestions(endpoint, admin, layout.client_tls(msp_id), timeout_s=timeout_s)


@pytest.fixture
def questions(fabric_network: Network) -> Iterator[PeerQuestions]:
    with asked_by(fabric_network, MSP) as asked:
        yield asked


def test_what_is_defined_and_approved(questions: PeerQuestions) -> None:
    definition = questions.definition(CHAIN, CHAINCODE)
    assert definition is not None
    assert definition.sequence == 1
    assert questions.approved_package(CHAIN, CHAINCODE, 1) == Package.make(1).package_id


def test_what_is_not_there_is_absent(questions: PeerQuestions) -> None:
    assert questions.definition(CHAIN, "nothing") is None
    assert questions.approved_package(CHAIN, CHAINCODE, 7) is None
    assert questions.approved_package(CHAIN, "nothing", 1) is None


def test_a_refusal_is_no_absence(fabric_network: Network, questions: PeerQuestions) -> None:
    with asked_by(fabric_network, "cloud-operator") as foreign:
        for said, asked, channel in (
            ("channel 'mars' not found", questions, "mars"),
            ("UNKNOWN: .*access denied", foreign, CHAIN),
        ):
            with pytest.raises(NotReady, match=said):
                asked.definition(channel, "nothing")
            with pytest.raises(NotReady, match=said):
                asked.approved_package(channel, "nothing", 1)


def test_silence_is_no_absence(fabric_network: Network) -> None:
    nobody = dataclasses.replace(fabric_network.peer(CHAIN, MSP), address="127.0.0.1:1")
    with asked_by(fabric_network, MSP, nobody, timeout_s=0.3) as asked:
        with pytest.raises(NotReady, match=r"127\.0\.0\.1:1: QueryChaincodeDefinition"):
            asked.definition(CHAIN, CHAINCODE)
        with pytest.raises(NotReady, match=r"127\.0\.0\.1:1: QueryApproved"):
            asked.approved_package(CHAIN, CHAINCODE, 1)
