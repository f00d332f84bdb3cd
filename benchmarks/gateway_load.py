"""A gateway process as in a deployment, with enrolled devices that load it; on either ledger."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from benchmarks.device_load import CONTENT_TYPE, DeviceLoad, Load, reading_bytes
from benchmarks.errors import MeasurementFailed
from benchmarks.http_load import Answers
from edgeproof.deployment import Deployment
from edgeproof.fleet import service_specs
from edgeproof.wiring import Parts
from gateway.client import DeviceClient, enrolment
from identity import KeyPair
from ledger.port import Ledger
from network.supervisor import Supervisor
from protocol.configuration import Configuration
from protocol.elements import views

__all__ = [
    "LoadRun",
    "RunningGateway",
    "free_port",
    "processor_seconds",
    "recording_transactions",
    "running_gateway",
    "signature_checks",
]

_START_S = 60.0


@dataclass(frozen=True)
class RunningGateway:
    """The running gateway and the devices that send to it."""

    load: DeviceLoad
    ledger: Ledger
    """Its chain, read from this process."""
    pid: int
    """Of gunicorn's master; the worker is its child."""

    def send(self, load: Load) -> LoadRun:
        self.load.prepare(load)
        before = processor_seconds(self.pid)
        answers = self.load.run()
        return LoadRun(answers, processor_seconds(self.pid) - before)


@dataclass(frozen=True)
class LoadRun:
    """One load, and the processor time that the gateway took for it, seconds."""

    answers: Answers
    gateway_cpu_s: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.answers.times) / self.answers.seconds


def processor_seconds(pid: int) -> float:
    """Processor time of a process and its living children so far."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ticks = 0
    for one in (str(pid), *children):
        # After the name, which may hold anything, utime and stime are the 12th and 13th fields.
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def recording_transactions(ledger: Ledger, first: int) -> int:
    """Recording transactions from block ``first`` on."""
    return sum(
        view.function.startswith("records:") and view.code == 0
        for block in ledger.blocks(first)
        for view in views(block)
    )


@contextmanager
def running_gateway(
    deployment: Deployment, edge: str, folder: Path, devices: int
) -> Iterator[RunningGateway]:
    """Serve an edge, and have devices enrolled that have sent one reading each.

    Args:
        deployment: on Fabric its network must run.
        edge: the chain; the other edges are not served.
        folder: for the devices' keys.
        devices: how many.

    Raises:
        MeasurementFailed: it does not come up, or died meanwhile.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ports = {plan.chain: port for plan in deployment.plan.edges}
    name = f"gateway-{edge}"
    (spec,) = [spec for spec in service_specs(deployment, ports) if spec.name == name]
    with Supervisor(deployment.state_path("logs")) as supervisor, Parts(deployment, "bench") as parts:
        supervisor.start(spec)
        _await(url, supervisor)
        keys = _enrol(deployment, edge, url, folder / "devices", devices)
        with DeviceLoad(("127.0.0.1", port), edge, keys) as load:
            pid = supervisor.pid(name)
            assert pid is not None
            yield RunningGateway(load, parts.readers[edge], pid)
        if supervisor.deaths(name):
            raise MeasurementFailed("the gateway died meanwhile")


def _enrol(deployment: Deployment, edge: str, url: str, folder: Path, count: int) -> dict[str, Path]:
    owner = deployment.plan.chain(edge).organisations[1]
    keys = {}
    for number in range(count):
        name = f"bench-{number}-{secrets.token_hex(3)}"
        key = KeyPair.generate()
        client = DeviceClient(url, name, key, edge)
        client.enrol(enrolment(edge, name, key, owner, deployment.owner_key(owner)))
        client.submit(reading_bytes(number), CONTENT_TYPE)
        client.close()
        keys[name] = folder / f"{name}.pem"
        key.save(keys[name])
    return keys


def _await(url: str, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        supervisor.check()
        try:
            if requests.get(f"{url}/readyz", timeout=1).status_code == 200:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise MeasurementFailed("the gateway does not come up")


def signature_checks(ledger: Ledger) -> int:
    """How often a reading's signature is verified: by the gateway and by every organisation that endorses."""
    return 1 + Configuration.from_block(ledger.block(0)).endorsement.required


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
