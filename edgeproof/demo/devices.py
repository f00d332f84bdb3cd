"""The demo's devices: keys on disk, enrolment, and sending that a stop at any moment does not harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgeproof.demo.data import CONTENT_TYPE
from edgeproof.deployment import Deployment
from edgeproof.errors import DemoError
from gateway.client import DeviceClient, RecordedReading, Refused, enrolment
from gateway.client.readings import PreparedReading, ReadingSigner
from identity import KeyPair

__all__ = ["DemoDevice", "enrol_all", "make_devices", "send_all"]

_BATCH = 24
_SENDERS = 6


@dataclass(frozen=True)
class DemoDevice:
    """One device: its name, its edge, and the folder with its key and how far it has come."""

    name: str
    edge: str
    folder: Path

    @property
    def key(self) -> KeyPair:
        """The device's key, made at the first use."""
        path = self.folder / "key.pem"
        if not path.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            KeyPair.generate().save(path)
        return KeyPair.load(path)

    @property
    def sent(self) -> int:
        """How many of its readings are acknowledged."""
        path = self.folder / "sent"
        return int(path.read_text()) if path.exists() else 0

    def remember(self, sent: int) -> None:
        """Write down how many readings are acknowledged (whole or not at all)."""
        temporary = self.folder / "sent.new"
        temporary.write_text(str(sent))
        temporary.replace(self.folder / "sent")


def make_devices(deployment: Deployment, folder: Path, count: int, kind: str = "sensor") -> list[DemoDevice]:
    """``count`` devices, dealt out to the edges in turn, named ``<edge>-<kind>-<number>``."""
    edges = deployment.plan.edges
    devices = []
    for number in range(count):
        edge = edges[number % len(edges)].chain
        name = f"{edge}-{kind}-{number + 1:02d}"
        devices.append(DemoDevice(name, edge, folder / name))
    return devices


def enrol_all(
    deployment: Deployment,
    devices: Sequence[DemoDevice],
    urls: Mapping[str, str],
    progress: Callable[[int], None],
) -> None:
    """Enrol every device by its owner's authorisation; one that is enrolled already is left as it is.

    Raises:
        DemoError: a name is enrolled with another key.
        ClientError: a gateway refuses or does not answer.
    """

    def enrol(device: DemoDevice, _: threading.Event) -> None:
        owner = deployment.plan.chain(device.edge).organisations[1]
        key = device.key
        client = DeviceClient(urls[device.edge], device.name, key, device.edge)
        message = enrolment(device.edge, device.name, key, owner, deployment.owner_key(owner))
        try:
            client.enrol(message)
        except Refused as error:
            if error.slug != "already-exists":
                raise
            if client.device(device.name).key != key.spki:
                raise DemoError(f"{device.name} is enrolled with another key") from error
        finally:
            client.close()
        progress(1)

    _for_each(devices, enrol)


def send_all(
    devices: Sequence[DemoDevice],
    readings: Sequence[Sequence[bytes]],
    urls: Mapping[str, str],
    progress: Callable[[int], None],
) -> None:
    """Send every device's readings, its first one alone and the others in batches.

    A reading's nonce is its place in the device's sequence. One that was recorded before a stop, but not yet
    written down here, is refused as a replay: that is the acknowledgement that was lost.

    Raises:
        DemoError: a reading is refused for another reason.
        ClientError: a gateway does not answer.
    """
    pairs = dict(zip(devices, readings, strict=True))

    def send(device: DemoDevice, stop: threading.Event) -> None:
        client = DeviceClient(urls[device.edge], device.name, device.key, device.edge)
        signer = ReadingSigner(device.edge, device.name, device.key, clock=time.time)
        items = pairs[device]
        position = device.sent
        progress(position)
        try:
            while position < len(items) and not stop.is_set():
                count = 1 if position == 0 else min(_BATCH, len(items) - position)
                prepared = [
                    signer.sign(items[number], CONTENT_TYPE, nonce=f"n{number:06d}")
                    for number in range(position, position + count)
                ]
                for answer in client.send_batch(prepared) if count > 1 else [_single(client, prepared[0])]:
                    if isinstance(answer, Refused) and answer.slug != "replayed-nonce":
                        raise DemoError(f"{device.name}: {answer}")
                position += count
                device.remember(position)
                progress(count)
        finally:
            client.close()

    _for_each(devices, send)


def _single(client: DeviceClient, prepared: PreparedReading) -> RecordedReading | Refused:
    try:
        return client.send(prepared)
    except Refused as error:
        return error


def _for_each(devices: Sequence[DemoDevice], action: Callable[[DemoDevice, threading.Event], None]) -> None:
    stop = threading.Event()
    pool = ThreadPoolExecutor(_SENDERS, thread_name_prefix="device")
    try:
        futures = [pool.submit(action, device, stop) for device in devices]
        for future in futures:
            future.result()
    finally:
        # After a fault or Ctrl-C each device ends with the batch that it is sending.
        stop.set()
        pool.shutdown(cancel_futures=True)
