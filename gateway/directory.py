"""The directory: the keys that may sign for a device, as the chain has them, remembered for a few seconds."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Final

from chaincode.api import Device, DeviceStatus, GetDevice, GetGrant, Grant
from gateway.problems import Refusal
from ledger.errors import ContractRefused
from ledger.port import Ledger, evaluate_typed
from protocol.readings import SignedReading

__all__ = ["Directory", "SigningKey"]

_MAX_KEYS: Final = 65536


@dataclass(frozen=True)
class SigningKey:
    """What verifies a reading."""

    algorithm: str
    spki: bytes


class Directory:
    """Looks devices and grants up on the chain. Only what may sign is remembered, so that a device that was
    just enrolled or resumed is never refused by memory.

    Args:
        ledger: the chain.
        keep: seconds for which a key is taken for current.
        monotonic: clock of that, seconds.
    """

    def __init__(self, ledger: Ledger, keep: float, monotonic: Callable[[], float]) -> None:
        self._ledger = ledger
        self._keep = keep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, SigningKey]] = OrderedDict()
        self._asked: dict[str, Future[SigningKey]] = {}
        """By ``keyid``: what the chain is being asked for at this moment."""

    def signing_key(self, reading: SignedReading) -> SigningKey:
        """The key that the reading's ``keyid`` names.

        Raises:
            Refusal: the device or the grant is unknown, or may not sign now.
        """
        keyid = reading.keyid
        with self._lock:
            found = self._known.get(keyid)
            if found is not None and found[0] > self._monotonic():
                return found[1]
            others = self._asked.get(keyid)
            if others is None:
                mine = self._asked[keyid] = Future()
        if others is not None:
            # A device sends many readings at once: one question a key, not one a reading.
            with contextlib.suppress(CancelledError):
                return others.result()
            # Refused, but perhaps asked before the device was enrolled: that is no answer to this reading.
            return self._look_up(reading)
        try:
            key = self._look_up(reading)
            mine.set_result(key)
            return key
        finally:
            with self._lock:
                del self._asked[keyid]
            mine.cancel()  # where there is no result: the others ask for themselves

    def forget(self, device: str) -> None:
        """Drop what is remembered of a device and its gateways: its state on the chain has changed."""
        with self._lock:
            for keyid in [keyid for keyid in self._known if keyid.partition("@")[0] == device]:
                del self._known[keyid]

    def _look_up(self, reading: SignedReading) -> SigningKey:
        now = self._monotonic()
        key = self._ask(reading.device, reading.keyid.partition("@")[2])
        with self._lock:
            self._known[reading.keyid] = (now + self._keep, key)
            self._known.move_to_end(reading.keyid)
            if len(self._known) > _MAX_KEYS:
                self._known.popitem(last=False)
        return key

    def _ask(self, device: str, gateway: str) -> SigningKey:
        try:
            enrolled: Device = evaluate_typed(self._ledger, GetDevice(device))
        except ContractRefused as error:
            if error.code != "not-found":
                raise
            raise Refusal("unknown-device", f"device {device} is not enrolled", field="keyid") from error
        if enrolled.status is not DeviceStatus.ACTIVE:
            raise Refusal(f"{enrolled.status.value}-device", f"device {device} is {enrolled.status.value}")
        if not gateway:
            return SigningKey(enrolled.algorithm, enrolled.key)
        try:
            grant: Grant = evaluate_typed(self._ledger, GetGrant(device, gateway))
        except ContractRefused as error:
            if error.code != "not-found":
                raise
            detail = f"gateway {gateway} has no grant of device {device}"
            raise Refusal("unknown-grant", detail, field="keyid") from error
        if not grant.active:
            raise Refusal("revoked-grant", f"the grant of device {device} to gateway {gateway} is taken back")
        return SigningKey(grant.algorithm, grant.key)
