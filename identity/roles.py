"""Roles, and how a certificate's subject carries them.

Fabric's MSP knows four node classes, each an organisational unit (OU) of the subject: client, peer, orderer,
admin (Fabric documentation, "Membership Service Providers", NodeOUs). Our roles refine the class *client* by
a second OU; Fabric ignores OUs that it does not know, so the same certificate serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from identity.errors import UntrustedCertificate

__all__ = ["NODE_CLASSES", "Role", "classify_units", "node_class_of", "units_of"]


class Role(StrEnum):
    """What an identity is for. The value is the text of the OU."""

    PEER = "peer"
    ORDERER = "orderer"
    ADMIN = "admin"
    CLIENT = "client"
    DEVICE = "device"
    GATEWAY = "gateway"
    RELAY = "relay"
    ANCHOR_SIGNER = "anchor-signer"
    TRAINER = "trainer"
    AGGREGATOR = "aggregator"
    AUDITOR = "auditor"


NODE_CLASSES = frozenset({Role.CLIENT.value, Role.PEER.value, Role.ORDERER.value, Role.ADMIN.value})
_ROLES = frozenset(role.value for role in Role)


def node_class_of(role: Role) -> str:
    """Fabric's node class of a role: itself where it is a class, else ``client``."""
    return role.value if role.value in NODE_CLASSES else Role.CLIENT.value


def units_of(role: Role) -> tuple[str, ...]:
    """The subject's OUs for a role: the node class, then the role where it says more.

    A class is never written twice: Fabric counts OUs and refuses an identity with two classes, even equal
    ones (mspimplvalidate.go, validateIdentityOUsV142).
    """
    node_class = node_class_of(role)
    return (node_class,) if role.value == node_class else (node_class, role.value)


def classify_units(units: Sequence[str]) -> tuple[str, Role]:
    """Read node class and role from a subject's OUs.

    The order is not looked at: Go writes several OUs as one SET, which DER sorts, so a certificate made by
    Fabric CA may carry them the other way round.

    Args:
        units: all OU values of the subject, in any order.

    Returns:
        Node class and role; the role is the class itself where no other OU is given.

    Raises:
        UntrustedCertificate: not exactly one node class; more than one role; an OU that is neither; or a role
            beside a class other than client.
    """
    classes = [unit for unit in units if unit in NODE_CLASSES]
    others = [unit for unit in units if unit not in NODE_CLASSES]
    if len(classes) != 1:
        raise UntrustedCertificate(f"subject must name exactly one node class, it names {len(classes)}")
    node_class = classes[0]
    if not others:
        return node_class, Role(node_class)
    if len(others) > 1 or others[0] not in _ROLES:
        raise UntrustedCertificate(
            "subject's organisational units beside the node class must be one known role"
        )
    if node_class != Role.CLIENT.value:
        raise UntrustedCertificate(f"role {others[0]!r} belongs to node class 'client', not {node_class!r}")
    return node_class, Role(others[0])
