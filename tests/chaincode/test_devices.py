from __future__ import annotations

from dataclasses import replace

import pytest
from contract_people import ADMIN, ANYBODY, GATEWAY, People
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from world_state import FakeChain

from chaincode.api import (
    DeviceStatus,
    GetDevice,
    GetGrant,
    GrantDelegation,
    Organisation,
    OwnerAuthorisation,
    RegisterOrganisation,
    SetDeviceStatus,
    SubmitReading,
)
from chaincode.errors import (
    AlreadyExists,
    BadRecords,
    Conflict,
    ContractError,
    InvalidArgument,
    InvalidAuthorisation,
    NotFound,
)
from identity import ECDSA_P256_SHA256, ED25519, KeyPair

NOBODY = OwnerAuthorisation(ED25519, b"\x00" * 64)


def status(people: People, device: str, to: DeviceStatus, sequence: int) -> SetDeviceStatus:
    blank = SetDeviceStatus(device, to, sequence, NOBODY)
    return replace(blank, authorisation=people.authorise(blank))


def grant(
    people: People, device: str, gateway: str, key: KeyPair, sequence: int, active: bool = True
) -> GrantDelegation:
    blank = GrantDelegation(device, gateway, key.algorithm, key.spki, active, sequence, NOBODY)
    return replace(blank, authorisation=people.authorise(blank))


@pytest.mark.parametrize("algorithm", [ED25519, ECDSA_P256_SHA256])
def test_enrolment_makes_an_active_device(people: People, algorithm: str) -> None:
    device = people.enrol("camera-1", algorithm)
    assert (device.status, device.sequence, device.owner) == (DeviceStatus.ACTIVE, 1, "A1")
    assert people.chain.evaluate(GetDevice("camera-1")) == device


def test_a_name_is_taken_for_ever(people: People) -> None:
    people.enrol("camera-1")
    people.keys.clear()
    with pytest.raises(AlreadyExists):
        people.enrol("camera-1")


def test_two_enrolments_of_one_name_conflict(people: People) -> None:
    first = people.chain.simulate(people.enrolment("camera-1"), ANYBODY)
    second = people.chain.simulate(people.enrolment("camera-1"), ANYBODY)
    people.chain.commit(first)
    with pytest.raises(Exception, match="device/camera-1"):
        people.chain.commit(second)


def test_nobody_enrols_a_key_it_lacks(people: People) -> None:
    good = people.enrolment("camera-1")
    stranger = KeyPair.generate()
    with pytest.raises(InvalidAuthorisation, match="possession"):
        people.chain.submit(replace(good, possession=stranger.sign(b"anything")), ANYBODY)


def test_an_enrolment_is_authorised_by_its_owner_and_for_its_chain(people: People) -> None:
    good = people.enrolment("camera-1")
    with pytest.raises(InvalidAuthorisation, match="A1"):
        people.chain.submit(replace(good, authorisation=NOBODY), ANYBODY)
    with pytest.raises(InvalidAuthorisation):
        people.chain.submit(replace(good, device="camera-2"), ANYBODY)
    elsewhere = FakeChain("edge-b")
    elsewhere.submit(RegisterOrganisation(Organisation("A1", "Orchard", people.owner.spki)), ADMIN)
    with pytest.raises(InvalidAuthorisation):
        elsewhere.submit(good, ANYBODY)


def test_an_unregistered_owner_enrols_nothing(people: People) -> None:
    with pytest.raises(NotFound):
        people.chain.submit(replace(people.enrolment("camera-1"), owner="A9"), ANYBODY)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "a/b"},
        {"device": "a@b"},
        {"device": ""},
        {"algorithm": ECDSA_P256_SHA256},
        {"key": b"\x30"},
    ],
)
def test_unusable_names_and_keys_are_refused(people: People, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        people.chain.submit(replace(people.enrolment("camera-1"), **changes), ANYBODY)


def test_an_authorisation_is_good_for_one_use(people: People) -> None:
    people.enrol("camera-1")
    suspend = status(people, "camera-1", DeviceStatus.SUSPENDED, 2)
    people.chain.submit(suspend, ANYBODY)
    people.chain.submit(status(people, "camera-1", DeviceStatus.ACTIVE, 3), ANYBODY)
    with pytest.raises(Conflict):
        people.chain.submit(suspend, ANYBODY)
    with pytest.raises(InvalidAuthorisation):
        people.chain.submit(replace(suspend, sequence=4), ANYBODY)


def test_a_replaced_owner_key_authorises_nothing(people: People) -> None:
    people.enrol("camera-1")
    old = status(people, "camera-1", DeviceStatus.SUSPENDED, 2)
    people.chain.submit(RegisterOrganisation(Organisation("A1", "Orchard", KeyPair.generate().spki)), ADMIN)
    with pytest.raises(InvalidAuthorisation):
        people.chain.submit(old, ANYBODY)


def test_changes_of_unknown_devices_are_not_found(people: People) -> None:
    for message in (
        status(people, "camera-9", DeviceStatus.SUSPENDED, 2),
        grant(people, "camera-9", "gw", KeyPair.generate(), 1),
        GetDevice("camera-9"),
        GetGrant("camera-9", "gw"),
    ):
        with pytest.raises(NotFound):
            people.chain.submit(message, ANYBODY)


def test_a_grant_is_given_replaced_and_taken_back(people: People) -> None:
    people.enrol("camera-1")
    key = KeyPair.generate(ECDSA_P256_SHA256)
    given = people.chain.submit(grant(people, "camera-1", "gw", key, 1), ANYBODY)
    assert people.chain.evaluate(GetGrant("camera-1", "gw")) == given
    with pytest.raises(Conflict, match="next"):
        people.chain.submit(grant(people, "camera-1", "gw", key, 1, active=False), ANYBODY)
    people.chain.submit(grant(people, "camera-1", "gw", key, 2, active=False), ANYBODY)
    assert not people.chain.evaluate(GetGrant("camera-1", "gw")).active


def test_refused_grants(people: People) -> None:
    people.enrol("camera-1")
    key = KeyPair.generate()
    good = grant(people, "camera-1", "gw", key, 1)
    with pytest.raises(InvalidAuthorisation):
        people.chain.submit(replace(good, gateway="other"), ANYBODY)
    with pytest.raises(InvalidArgument):
        people.chain.submit(replace(good, algorithm=ECDSA_P256_SHA256), ANYBODY)
    with pytest.raises(InvalidArgument):
        people.chain.submit(replace(good, gateway="a/b"), ANYBODY)
    with pytest.raises(Conflict, match="no grant"):
        people.chain.submit(grant(people, "camera-1", "gw", key, 1, active=False), ANYBODY)
    people.chain.submit(status(people, "camera-1", DeviceStatus.RETIRED, 2), ANYBODY)
    with pytest.raises(Conflict, match="retired"):
        people.chain.submit(good, ANYBODY)


class DeviceLife(RuleBasedStateMachine):
    """Against a model: which status follows which, and whose reading is taken."""

    def __init__(self) -> None:
        super().__init__()
        chain = FakeChain("edge-a")
        owner = KeyPair.generate()
        chain.submit(RegisterOrganisation(Organisation("A1", "Orchard", owner.spki)), ADMIN)
        self.people = People(chain, owner, {})
        self.gateway_key = KeyPair.generate()
        self.status = DeviceStatus.ACTIVE
        self.sequence = 1
        self.granted: bool | None = None
        self.grants = 0
        self.nonce = 0

    @initialize()
    def enrol(self) -> None:
        self.people.enrol("camera-1")

    @rule(to=st.sampled_from(DeviceStatus), jump=st.sampled_from([0, 1, 1, 1, 2]))
    def change(self, to: DeviceStatus, jump: int) -> None:
        allowed = jump == 1 and to is not self.status and self.status is not DeviceStatus.RETIRED
        message = status(self.people, "camera-1", to, self.sequence + jump)
        try:
            self.people.chain.submit(message, ANYBODY)
        except Conflict:
            assert not allowed
        else:
            assert allowed
            self.status, self.sequence = to, self.sequence + 1

    @rule(active=st.booleans())
    def delegate(self, active: bool) -> None:
        allowed = self.status is not DeviceStatus.RETIRED if active else self.granted is not None
        message = grant(self.people, "camera-1", "gw", self.gateway_key, self.grants + 1, active)
        try:
            self.people.chain.submit(message, ANYBODY)
        except Conflict:
            assert not allowed
        else:
            assert allowed
            self.granted, self.grants = active, self.grants + 1

    @rule(by_gateway=st.booleans())
    def read(self, by_gateway: bool) -> None:
        self.nonce += 1
        reading = self.people.reading(
            nonce=f"n{self.nonce}",
            keyid="camera-1@gw" if by_gateway else None,
            key=self.gateway_key if by_gateway else None,
        )
        allowed = self.status is DeviceStatus.ACTIVE and (not by_gateway or self.granted is True)
        try:
            self.people.chain.submit(SubmitReading(reading), GATEWAY)
        except BadRecords:
            assert not allowed
        else:
            assert allowed

    @invariant()
    def state_agrees(self) -> None:
        try:
            device = self.people.chain.evaluate(GetDevice("camera-1"))
        except ContractError:
            return
        assert (device.status, device.sequence) == (self.status, self.sequence)


DeviceLife.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestDeviceLife = DeviceLife.TestCase
