"""Devices that send real readings to real gateways over HTTP, and never give up.

A device signs a reading once and sends it, byte by byte the same, until it is acknowledged: that is all that
a client has to do for its reading to be recorded exactly once.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from chaincode.api import Device, DeviceStatus
from edgeproof.deployment import Deployment
from gateway.client import (
    DeviceClient,
    RecordedReading,
    Refused,
    Unreachable,
    enrolment,
    grant,
    status_change,
)
from gateway.client.readings import PreparedReading
from identity import KeyPair
from protocol.encodings import canonical_json

__all__ = ["Acknowledged", "Load"]

T = TypeVar("T")

CONTENT_TYPE = "application/json"
_PATIENCE_S = 60.0


@dataclasses.dataclass(frozen=True)
class Acknowledged:
    """A reading that a gateway answered with 201."""

    edge: str
    prepared: PreparedReading
    recorded: RecordedReading
    at: float = 0.0
    """When, on ``time.monotonic``."""


@dataclasses.dataclass(frozen=True)
class _Device:
    name: str
    edge: str
    key: KeyPair


class Load:
    """The devices of every edge.

    Args:
        deployment: whose owners authorise them.
        urls: of every edge's gateway.
        devices: how many an edge.
        seed: of the readings.

    Attributes:
        acknowledged: everything that was answered with 201.
    """

    def __init__(self, deployment: Deployment, urls: Mapping[str, str], devices: int, seed: int) -> None:
        self._deployment = deployment
        self._urls = urls
        self._devices = [
            _Device(f"{edge}-sensor-{number}", edge, KeyPair.generate())
            for edge in urls
            for number in range(1, devices + 1)
        ]
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._outstanding: dict[str, int] = dict.fromkeys(urls, 0)
        self._faults: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._enough = threading.Event()
        self._given_up = threading.Event()
        self.acknowledged: list[Acknowledged] = []

    # ------------------------------------------------------------------ what a test asks for

    def enrol(self) -> None:
        """Enrol every device; an answer that was lost is found again."""
        for device in self._devices:
            with self._offering(device.edge, 1):
                self._enrol(device)

    def change_devices(self) -> None:
        """Suspend and resume the first device of each edge, and grant a gateway's key; each is done once."""
        for edge in self._urls:
            device = next(device for device in self._devices if device.edge == edge)
            with self._offering(edge, 3):
                self._change(device)

    def send(self, count: int) -> None:
        """``count`` readings of every device, and wait until they are acknowledged."""
        for device in self._devices:
            client = self._client(device)
            self._deliver(client, device, [self._reading(client) for _ in range(count)])

    def begin(self, pause_s: float = 0.0) -> None:
        """Every device sends, now single readings and now batches, until ``finish``.

        Args:
            pause_s: longest pause between two requests of a device.
        """
        for device in self._devices:
            thread = threading.Thread(target=self._run, args=(device, pause_s), name=device.name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self, timeout_s: float) -> None:
        """Every device delivers what it holds, and stops.

        Raises:
            AssertionError: a reading was refused, or not acknowledged in time.
        """
        self._enough.set()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._faults:
            raise self._faults[0]
        assert not any(self._outstanding.values()), f"not acknowledged: {self._outstanding}"

    def stop(self) -> None:
        """Give up whatever is under way."""
        self._enough.set()
        self._given_up.set()
        for thread in self._threads:
            thread.join(35.0)

    def outstanding(self, edge: str) -> int:
        """How many readings (and enrolments) were offered to an edge and not acknowledged yet."""
        with self._lock:
            return self._outstanding[edge]

    def answers(self, edge: str) -> bool:
        """Whether an edge's gateway is ready."""
        import requests

        try:
            return requests.get(f"{self._urls[edge]}/readyz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    # ------------------------------------------------------------------ inside

    def _run(self, device: _Device, pause_s: float) -> None:
        client = self._client(device)
        try:
            while not self._enough.is_set():
                with self._lock:
                    count = self._chance.choice([1, 1, 2, 5])
                    pause = self._chance.uniform(0.0, pause_s)
                self._deliver(client, device, [self._reading(client) for _ in range(count)])
                self._enough.wait(pause)
        except BaseException as fault:  # the test's own thread raises it
            self._faults.append(fault)
        finally:
            client.close()

    def _client(self, device: _Device) -> DeviceClient:
        return DeviceClient(self._urls[device.edge], device.name, device.key, device.edge)

    def _reading(self, client: DeviceClient) -> PreparedReading:
        with self._lock:
            pixels = [self._chance.randrange(17) for _ in range(64)]
            label = self._chance.randrange(10)
        return client.prepare(canonical_json({"label": label, "pixels": pixels}), CONTENT_TYPE)

    def _deliver(self, client: DeviceClient, device: _Device, readings: Sequence[PreparedReading]) -> None:
        """Send until every reading is acknowledged."""
        waiting = list(readings)
        deadline = time.monotonic() + _PATIENCE_S
        with self._offering(device.edge, len(waiting)) as offer:
            while waiting:
                assert time.monotonic() < deadline, f"{device.name}: {len(waiting)} not acknowledged"
                if self._given_up.is_set():
                    return
                answers = _ask(client, waiting)
                left = []
                for reading, answer in zip(waiting, answers, strict=True):
                    if isinstance(answer, RecordedReading):
                        with self._lock:
                            self.acknowledged.append(
                                Acknowledged(device.edge, reading, answer, time.monotonic())
                            )
                        offer.less()
                    elif answer is None or answer.status >= 500:
                        left.append(reading)
                    else:
                        raise AssertionError(f"{device.name}: {answer}")
                waiting = left

    def _change(self, device: _Device) -> None:
        owner_key = self._owner_key(device.edge)[1]
        client = self._client(device)

        def present() -> Device:
            return client.device(device.name)

        for status in (DeviceStatus.SUSPENDED, DeviceStatus.ACTIVE):
            sequence = self._insist(present).sequence + 1
            message = status_change(device.edge, device.name, status, sequence, owner_key)
            self._insist(partial(client.set_status, message), present)
            after = self._insist(present)
            assert (after.status, after.sequence) == (status, sequence)
        permission = grant(device.edge, device.name, "site-gateway", KeyPair.generate(), owner_key)
        self._insist(lambda: client.grant(permission), lambda: None)
        client.close()

    def _enrol(self, device: _Device) -> None:
        message = enrolment(device.edge, device.name, device.key, *self._owner_key(device.edge))
        client = self._client(device)
        self._insist(lambda: client.enrol(message), lambda: None)
        assert self._insist(lambda: client.device(device.name)).key == device.key.spki
        client.close()

    def _owner_key(self, edge: str) -> tuple[str, KeyPair]:
        owner = self._deployment.plan.chain(edge).organisations[1]
        return owner, self._deployment.owner_key(owner)

    def _insist(self, ask: Callable[[], T], done: Callable[[], T] | None = None) -> T:
        """Ask until there is an answer.

        Args:
            ask: one request, with its own attempts.
            done: what to answer when a repeat is refused because the first attempt, whose answer was lost,
                was carried out (the client repeats by itself too); without it a refusal is a fault.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            assert time.monotonic() < deadline, "the gateway does not answer"
            try:
                return ask()
            except Unreachable:
                continue
            except Refused as refused:
                if refused.status >= 500:
                    continue
                if done is None or refused.status != 409:
                    raise
                return done()

    def _offering(self, edge: str, count: int) -> _Offer:
        return _Offer(self, edge, count)


class _Offer:
    """Counts what an edge was offered and has not acknowledged."""

    def __init__(self, load: Load, edge: str, count: int) -> None:
        self._load, self._edge, self._left = load, edge, count

    def __enter__(self) -> _Offer:
        self._add(self._left)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # what failed stays outstanding
            self._add(-self._left)

    def less(self) -> None:
        self._left -= 1
        self._add(-1)

    def _add(self, count: int) -> None:
        with self._load._lock:
            self._load._outstanding[self._edge] += count


def _ask(
    client: DeviceClient, waiting: Sequence[PreparedReading]
) -> Sequence[RecordedReading | Refused | None]:
    """One attempt: an answer a reading; None where there is none."""
    try:
        return [client.send(waiting[0])] if len(waiting) == 1 else client.send_batch(waiting)
    except Unreachable:
        return [None] * len(waiting)
    except Refused as refused:
        return [refused] * len(waiting)
