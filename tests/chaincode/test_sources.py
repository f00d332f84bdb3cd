from __future__ import annotations

from dataclasses import replace

import pytest
from contract_chains import anchor_key, roster, signature
from contract_people import Interlocked
from world_state import FakeChain, caller

from accumulator import RSA_2048
from chaincode.api import GetHeads, GetSource, RegisterSource, ReplaceRoster, Source
from chaincode.errors import (
    AccessDenied,
    AlreadyExists,
    BadSignature,
    Conflict,
    InvalidArgument,
    ThresholdNotMet,
    UnknownSource,
)
from identity import KeyPair, Role
from protocol.anchors import Roster

ADMIN = caller("A1", Role.ADMIN)
ORGANISATIONS = ("A1", "A2", "A3")
CHALLENGE = Source(
    "edge-a", RSA_2048.to_bytes(256, "big"), "rsa-2048-challenge", roster("edge-a", ORGANISATIONS)
)


def test_an_admin_registers_a_chain_once(chain: FakeChain) -> None:
    assert chain.submit(RegisterSource(CHALLENGE), ADMIN) == CHALLENGE
    assert chain.evaluate(GetSource("edge-a")) == CHALLENGE
    assert chain.evaluate(GetHeads()).heads == ()
    with pytest.raises(AlreadyExists):
        chain.submit(RegisterSource(CHALLENGE), ADMIN)
    with pytest.raises(UnknownSource):
        chain.evaluate(GetSource("edge-b"))


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_only_an_admin_registers(chain: FakeChain, role: Role) -> None:
    with pytest.raises(AccessDenied):
        chain.submit(RegisterSource(CHALLENGE), caller("A1", role))


SHARED = {"A1": anchor_key("A1").spki, "A2": anchor_key("A1").spki}
ED25519 = {"A1": anchor_key("A1").spki, "A2": KeyPair.generate("ed25519").spki}


@pytest.mark.parametrize(
    "source",
    [
        replace(CHALLENGE, chain="Edge"),
        replace(CHALLENGE, chain="edge-b"),
        replace(CHALLENGE, modulus=b"\x00" + CHALLENGE.modulus),
        replace(CHALLENGE, modulus=b""),
        replace(CHALLENGE, modulus=CHALLENGE.modulus[:-1] + b"\x01"),
        replace(CHALLENGE, origin="dealer"),
        replace(CHALLENGE, modulus=b"\xff" * 1025, origin="ceremony"),
        replace(CHALLENGE, roster=roster("edge-a", ORGANISATIONS, version=2)),
        replace(CHALLENGE, roster=roster("edge-a", ORGANISATIONS, threshold=1)),
        replace(CHALLENGE, roster=roster("edge-a", ORGANISATIONS, threshold=4)),
        replace(CHALLENGE, roster=roster("edge-a", (*ORGANISATIONS, "A4"), threshold=2)),
        replace(CHALLENGE, roster=roster("edge-a", ("A1",), threshold=1)),
        replace(CHALLENGE, roster=roster("edge-a", ("A1", "A/2"))),
        replace(CHALLENGE, roster=Roster("edge-a", 1, 2, SHARED)),
        replace(CHALLENGE, roster=Roster("edge-a", 1, 2, ED25519)),
    ],
)
def test_unusable_sources_are_refused(chain: FakeChain, source: Source) -> None:
    with pytest.raises(InvalidArgument):
        chain.submit(RegisterSource(source), ADMIN)


def test_a_roster_is_replaced_by_the_quorum_before_it(chains: Interlocked) -> None:
    new = roster("edge-a", ("A1", "A2", "A4"), version=2)
    old_quorum = tuple(signature(msp_id, new.digest()) for msp_id in ("A2", "A3"))
    chains.main.submit(ReplaceRoster(new, old_quorum), caller("Cloud1"))
    assert chains.main.evaluate(GetSource("edge-a")).roster == new
    newer = replace(new, version=3)
    outgoing = tuple(signature(msp_id, newer.digest()) for msp_id in ("A2", "A3"))
    with pytest.raises(BadSignature):
        chains.main.submit(ReplaceRoster(newer, outgoing), caller("Cloud1"))
    incoming = tuple(signature(msp_id, newer.digest()) for msp_id in ("A2", "A4"))
    chains.main.submit(ReplaceRoster(newer, incoming), caller("Cloud1"))


def test_refused_replacements(chains: Interlocked) -> None:
    new = roster("edge-a", ("A1", "A2", "A4"), version=2)

    def message(changed: Roster, *signers: str) -> ReplaceRoster:
        return ReplaceRoster(changed, tuple(signature(name, changed.digest()) for name in signers))

    cases = [
        (message(new, "A1"), ThresholdNotMet),
        (message(new, "A1", "A2", "A3"), ThresholdNotMet),
        (message(new, "A1", "A4"), BadSignature),
        (replace(message(new, "A1", "A2"), roster=replace(new, threshold=3)), BadSignature),
        (message(replace(new, version=1), "A1", "A2"), Conflict),
        (message(replace(new, version=3), "A1", "A2"), Conflict),
        (message(replace(new, chain="edge-z"), "A1", "A2"), UnknownSource),
        (message(replace(new, threshold=1), "A1", "A2"), InvalidArgument),
    ]
    for bad, kind in cases:
        with pytest.raises(kind):
            chains.main.submit(bad, caller("Cloud1"))
