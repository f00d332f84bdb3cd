"""What a device's owner signs, offline: enrolments, changes of status, grants. Gateways carry it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from chaincode.api import DeviceStatus, EnrolDevice, GrantDelegation, OwnerAuthorisation, SetDeviceStatus
from identity.keys import KeyPair
from protocol.commitments import authorisation_bytes

__all__ = ["enrolment", "grant", "owner_authorisation", "status_change"]

M = TypeVar("M", EnrolDevice, SetDeviceStatus, GrantDelegation)
_UNSIGNED: Final = OwnerAuthorisation("", b"")


def owner_authorisation(chain: str, message: M, owner_key: KeyPair) -> M:
    """The message with its owner's signature; whatever stood in its place is replaced.

    Args:
        chain: id of the chain that it is meant for.
        message: the request.
        owner_key: the key that is registered for the owner's organisation.
    """
    signature = owner_key.sign(authorisation_bytes(chain, message))
    return replace(message, authorisation=OwnerAuthorisation(owner_key.algorithm, signature))


def enrolment(chain: str, device: str, device_key: KeyPair, owner: str, owner_key: KeyPair) -> EnrolDevice:
    """A device's enrolment: the owner authorises it, and the device proves that it has the key.

    Args:
        chain: id of the edge's chain.
        device: name for the device; taken for ever.
        device_key: the device's key.
        owner: MSP id of the owner's organisation.
        owner_key: that organisation's owner key.
    """
    unsigned = EnrolDevice(device, owner, device_key.algorithm, device_key.spki, b"", _UNSIGNED)
    possession = device_key.sign(authorisation_bytes(chain, unsigned))
    return owner_authorisation(chain, replace(unsigned, possession=possession), owner_key)


def status_change(
    chain: str, device: str, status: DeviceStatus, sequence: int, owner_key: KeyPair
) -> SetDeviceStatus:
    """Suspends, resumes or retires a device; ``sequence`` is the device's present one plus one."""
    return owner_authorisation(chain, SetDeviceStatus(device, status, sequence, _UNSIGNED), owner_key)


def grant(
    chain: str,
    device: str,
    gateway: str,
    gateway_key: KeyPair,
    owner_key: KeyPair,
    *,
    active: bool = True,
    sequence: int = 1,
) -> GrantDelegation:
    """Lets a gateway's key sign for a device, or takes that back; ``sequence`` counts from 1 a pair."""
    unsigned = GrantDelegation(
        device, gateway, gateway_key.algorithm, gateway_key.spki, active, sequence, _UNSIGNED
    )
    return owner_authorisation(chain, unsigned, owner_key)
