"""Organisations, devices and grants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

__all__ = [
    "Device",
    "DeviceStatus",
    "EnrolDevice",
    "GetDevice",
    "GetGrant",
    "GetOrganisation",
    "Grant",
    "GrantDelegation",
    "Organisation",
    "OwnerAuthorisation",
    "RegisterOrganisation",
    "SetDeviceStatus",
]


@dataclass(frozen=True)
class Organisation:
    """An organisation as the chain knows it. State key ``organisation/<msp_id>``."""

    msp_id: str
    name: str
    owner_key: bytes
    """DER SPKI (P-256 or Ed25519) of the key that authorises this owner's devices and grants."""


@dataclass(frozen=True)
class RegisterOrganisation:
    """By an admin of that very organisation; once, or again to replace its owner key."""

    FUNCTION: ClassVar[str] = "organisations:register"
    RESULT: ClassVar[type[Organisation]] = Organisation
    organisation: Organisation


@dataclass(frozen=True)
class GetOrganisation:
    """An organisation that is registered here."""

    FUNCTION: ClassVar[str] = "organisations:get"
    RESULT: ClassVar[type[Organisation]] = Organisation
    msp_id: str


class DeviceStatus(StrEnum):
    """Where a device stands in its life."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"
    """Final: a retired device never comes back."""


@dataclass(frozen=True)
class Device:
    """An enrolled device. State key ``device/<device>``."""

    device: str
    owner: str
    """MSP id of the owner's organisation."""
    algorithm: str
    key: bytes
    """DER SPKI."""
    status: DeviceStatus
    sequence: int
    """Counts the owner's changes to this device, from 1; an authorisation names the next one."""


@dataclass(frozen=True)
class OwnerAuthorisation:
    """The owner's signature (its registered owner key) over ``authorisation_bytes`` of the request."""

    algorithm: str
    signature: bytes


@dataclass(frozen=True)
class EnrolDevice:
    """``possession``: the device's signature over the same bytes, so that nobody enrols a key it lacks."""

    FUNCTION: ClassVar[str] = "devices:enrol"
    RESULT: ClassVar[type[Device]] = Device
    device: str
    owner: str
    algorithm: str
    key: bytes
    possession: bytes
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class SetDeviceStatus:
    """Suspends, resumes or retires a device; authorised by its owner."""

    FUNCTION: ClassVar[str] = "devices:setStatus"
    RESULT: ClassVar[type[Device]] = Device
    device: str
    status: DeviceStatus
    sequence: int
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class GetDevice:
    """A device that is enrolled here."""

    FUNCTION: ClassVar[str] = "devices:get"
    RESULT: ClassVar[type[Device]] = Device
    device: str


@dataclass(frozen=True)
class Grant:
    """A gateway's key may sign for a device. State key ``grant/<device>/<gateway>``."""

    device: str
    gateway: str
    """Name of the gateway's signing key: the part after @ in a record's keyid."""
    algorithm: str
    key: bytes
    active: bool
    sequence: int


@dataclass(frozen=True)
class GrantDelegation:
    """Gives (active) or takes back a grant; authorised by the device's owner."""

    FUNCTION: ClassVar[str] = "devices:grant"
    RESULT: ClassVar[type[Grant]] = Grant
    device: str
    gateway: str
    algorithm: str
    key: bytes
    active: bool
    sequence: int
    authorisation: OwnerAuthorisation


@dataclass(frozen=True)
class GetGrant:
    """A grant, active or not."""

    FUNCTION: ClassVar[str] = "devices:getGrant"
    RESULT: ClassVar[type[Grant]] = Grant
    device: str
    gateway: str
