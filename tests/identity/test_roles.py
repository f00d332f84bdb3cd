from __future__ import annotations

import pytest

from identity import Role, UntrustedCertificate
from identity.roles import NODE_CLASSES, classify_units, node_class_of, units_of


@pytest.mark.parametrize("role", list(Role))
def test_units_of_every_role_read_back(role: Role) -> None:
    units = units_of(role)
    assert classify_units(units) == (node_class_of(role), role)
    assert classify_units(units[::-1]) == (node_class_of(role), role)
    assert units[0] in NODE_CLASSES
    assert len(set(units)) == len(units)


def test_only_fabrics_own_classes_are_classes() -> None:
    assert {"client", "peer", "orderer", "admin"} == NODE_CLASSES
    assert node_class_of(Role.ANCHOR_SIGNER) == "client"
    assert node_class_of(Role.ORDERER) == "orderer"


@pytest.mark.parametrize(
    "units",
    [
        (),
        ("device",),
        ("client", "client"),
        ("client", "peer"),
        ("client", "device", "gateway"),
        ("client", "device", "device"),
        ("client", "department"),
        ("peer", "device"),
        ("admin", "relay"),
        ("Client",),
        ("client ",),
        ("client", ""),
    ],
)
def test_other_units_are_refused(units: tuple[str, ...]) -> None:
    with pytest.raises(UntrustedCertificate):
        classify_units(units)
