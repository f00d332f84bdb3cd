import pytest
from world_state import FakeChain, caller

from chaincode.api import GetOrganisation, Organisation, RegisterOrganisation
from chaincode.errors import AccessDenied, InvalidArgument, NotFound
from identity import KeyPair, Role

KEY = KeyPair.generate().spki


def test_an_admin_registers_its_own_organisation_and_replaces_its_key(chain: FakeChain) -> None:
    admin = caller("A1", Role.ADMIN)
    first = Organisation("A1", "Orchard", KEY)
    assert chain.submit(RegisterOrganisation(first), admin) == first
    second = Organisation("A1", "Orchard", KeyPair.generate().spki)
    chain.submit(RegisterOrganisation(second), admin)
    assert chain.evaluate(GetOrganisation("A1")) == second
    assert set(chain.world.values) == {"organisation/A1"}


@pytest.mark.parametrize("by", [caller("A2", Role.ADMIN), caller("A1", Role.CLIENT), caller("A1", Role.PEER)])
def test_nobody_else_registers_it(chain: FakeChain, by: object) -> None:
    with pytest.raises(AccessDenied):
        chain.submit(RegisterOrganisation(Organisation("A1", "Orchard", KEY)), by)


@pytest.mark.parametrize(
    "organisation",
    [
        Organisation("A1", "", KEY),
        Organisation("A1", "x" * 129, KEY),
        Organisation("A1", "two\nlines", KEY),
        Organisation("A1", "Orchard", b""),
        Organisation("A1", "Orchard", KEY[:-1]),
        Organisation("A/1", "Orchard", KEY),
    ],
)
def test_unusable_names_and_keys_are_refused(chain: FakeChain, organisation: Organisation) -> None:
    with pytest.raises(InvalidArgument):
        chain.submit(RegisterOrganisation(organisation), caller(organisation.msp_id, Role.ADMIN))


def test_an_unknown_organisation_is_not_found(chain: FakeChain) -> None:
    with pytest.raises(NotFound):
        chain.evaluate(GetOrganisation("A9"))
