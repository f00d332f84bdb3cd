"""Devices, their life, and grants by which a gateway signs for a weak device.

Every change is authorised by the owner's registered key over the change itself, so it does not matter who
carries it. A sequence number in what is signed makes each authorisation good for one use.
"""

from __future__ import annotations

from typing import Final

from chaincode import organisations
from chaincode.api import (
    Device,
    DeviceStatus,
    EnrolDevice,
    GetDevice,
    GetGrant,
    Grant,
    GrantDelegation,
    OwnerAuthorisation,
    SetDeviceStatus,
)
from chaincode.context import Context
from chaincode.errors import AlreadyExists, Conflict, InvalidArgument, InvalidAuthorisation
from chaincode.names import check_name
from identity import IdentityError, key_algorithm, verify_key
from protocol.commitments import authorisation_bytes

__all__ = ["device_key", "enrol", "get", "get_grant", "grant", "grant_key", "set_status"]

_TRANSITIONS: Final = {
    DeviceStatus.ACTIVE: frozenset({DeviceStatus.SUSPENDED, DeviceStatus.RETIRED}),
    DeviceStatus.SUSPENDED: frozenset({DeviceStatus.ACTIVE, DeviceStatus.RETIRED}),
    DeviceStatus.RETIRED: frozenset[DeviceStatus](),
}


def device_key(device: str) -> str:
    """State key of a device."""
    return f"device/{device}"


def grant_key(device: str, gateway: str) -> str:
    """State key of a grant."""
    return f"grant/{device}/{gateway}"


def enrol(context: Context, message: EnrolDevice) -> Device:
    """Enrol a device: active, sequence 1. Anybody of the chain carries it.

    Raises:
        InvalidArgument: an unusable name, or a key that is not of the named algorithm.
        NotFound: the owner is not registered.
        InvalidAuthorisation: the owner's signature, or the device's proof of possession, does not verify.
        AlreadyExists: the name is taken, for ever.
    """
    check_name(message.device, "device")
    _check_key(message.algorithm, message.key)
    signed = authorisation_bytes(context.chain, message)
    _check_authorisation(context, message.owner, signed, message.authorisation)
    try:
        verify_key(message.key, message.algorithm, signed, message.possession)
    except IdentityError as error:
        raise InvalidAuthorisation(f"proof of possession: {error}") from error
    if context.state.get(device_key(message.device)) is not None:
        raise AlreadyExists(f"device {message.device} is enrolled already")
    device = Device(
        device=message.device,
        owner=message.owner,
        algorithm=message.algorithm,
        key=message.key,
        status=DeviceStatus.ACTIVE,
        sequence=1,
    )
    context.write(device_key(device.device), device)
    return device


def set_status(context: Context, message: SetDeviceStatus) -> Device:
    """Suspend, resume or retire a device; retired is final. Anybody of the chain carries it.

    Raises:
        NotFound: the device is not enrolled.
        InvalidAuthorisation: the owner's signature does not verify.
        Conflict: ``sequence`` is not the device's next one, or the status cannot follow the present one.
    """
    device = _find(context, message.device)
    _check_authorisation(
        context, device.owner, authorisation_bytes(context.chain, message), message.authorisation
    )
    _check_sequence(message.sequence, device.sequence)
    if message.status not in _TRANSITIONS[device.status]:
        raise Conflict(f"a device that is {device.status.value} cannot become {message.status.value}")
    changed = Device(
        device=device.device,
        owner=device.owner,
        algorithm=device.algorithm,
        key=device.key,
        status=message.status,
        sequence=message.sequence,
    )
    context.write(device_key(device.device), changed)
    return changed


def grant(context: Context, message: GrantDelegation) -> Grant:
    """Let a gateway's key sign for a device, or take that back. Anybody of the chain carries it.

    Grants count their own sequence, from 1 for each pair of device and gateway.

    Raises:
        InvalidArgument: an unusable name, or a key that is not of the named algorithm.
        NotFound: the device is not enrolled.
        InvalidAuthorisation: the owner's signature does not verify.
        Conflict: ``sequence`` is not the grant's next one, the device is retired, or there is nothing to take
            back.
    """
    check_name(message.gateway, "gateway")
    _check_key(message.algorithm, message.key)
    device = _find(context, message.device)
    _check_authorisation(
        context, device.owner, authorisation_bytes(context.chain, message), message.authorisation
    )
    key = grant_key(message.device, message.gateway)
    present = context.read(Grant, key)
    _check_sequence(message.sequence, present.sequence if present else 0)
    if message.active and device.status is DeviceStatus.RETIRED:
        raise Conflict("a retired device delegates nothing")
    if not message.active and present is None:
        raise Conflict("there is no grant to take back")
    granted = Grant(
        device=message.device,
        gateway=message.gateway,
        algorithm=message.algorithm,
        key=message.key,
        active=message.active,
        sequence=message.sequence,
    )
    context.write(key, granted)
    return granted


def get(context: Context, message: GetDevice) -> Device:
    """The device.

    Raises:
        InvalidArgument: not a device's name.
        NotFound: it is not enrolled.
    """
    return _find(context, message.device)


def get_grant(context: Context, message: GetGrant) -> Grant:
    """The grant, active or not.

    Raises:
        InvalidArgument: not a device's or a gateway's name.
        NotFound: there never was one.
    """
    check_name(message.device, "device")
    check_name(message.gateway, "gateway")
    what = f"a grant of device {message.device} to gateway {message.gateway}"
    return context.require(Grant, grant_key(message.device, message.gateway), what)


def _find(context: Context, name: str) -> Device:
    check_name(name, "device")
    return context.require(Device, device_key(name), f"device {name}")


def _check_key(algorithm: str, key: bytes) -> None:
    try:
        actual = key_algorithm(key)
    except IdentityError as error:
        raise InvalidArgument(f"key: {error}") from error
    if actual != algorithm:
        raise InvalidArgument(f"the key is of {actual}, not {algorithm[:40]!r}")


def _check_sequence(named: int, present: int) -> None:
    if named != present + 1:
        raise Conflict(f"sequence {named} is not the next one, which is {present + 1}")


def _check_authorisation(
    context: Context, owner: str, signed: bytes, authorisation: OwnerAuthorisation
) -> None:
    organisation = organisations.find(context, owner)
    try:
        verify_key(organisation.owner_key, authorisation.algorithm, signed, authorisation.signature)
    except IdentityError as error:
        raise InvalidAuthorisation(f"authorisation of {owner}: {error}") from error
