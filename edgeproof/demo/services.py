"""The deployment's processes for as long as the demo needs them."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from edgeproof.demo.screen import Screen
from edgeproof.deployment import Deployment
from edgeproof.errors import DemoError
from edgeproof.fleet import service_specs, training_specs
from network.records import register
from network.supervisor import Supervisor

__all__ = ["running"]


@contextmanager
def running(
    deployment: Deployment, logs: Path, run: str, screen: Screen
) -> Iterator[tuple[Supervisor, dict[str, str]]]:
    """Gateways, anchor signers, relay and the training peers of a run; all of them end with the block.

    Yields:
        The supervisor, and each edge's gateway's address.

    Raises:
        DemoError: a gateway does not become ready.
        ProcessFailed: a process keeps ending, or another supervisor is at work over the deployment.
    """
    ports = {edge.chain: _free_port() for edge in deployment.plan.edges}
    urls = {edge: f"http://127.0.0.1:{port}" for edge, port in ports.items()}
    with (
        register(deployment.root / "run", "services", sys.argv),
        Supervisor(logs) as supervisor,
    ):
        try:
            with screen.step("Gateways, anchor signers, relay: each a process of its own"):
                for spec in service_specs(deployment, ports):
                    supervisor.start(spec)
                for url in urls.values():
                    _wait_ready(url, supervisor)
            # The peers import torch while the devices send.
            for spec in training_specs(deployment, run):
                supervisor.start(spec)
            yield supervisor, urls
        except KeyboardInterrupt:
            # A second Ctrl-C would leave processes behind that end only by themselves, later.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            screen.say("\nEnding every process; this takes a few seconds.")
            raise
        with screen.step("Ending every process"):
            supervisor.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(url: str, supervisor: Supervisor, timeout_s: float = 60.0) -> None:
    end = time.monotonic() + timeout_s
    while True:
        supervisor.check()
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        if time.monotonic() > end:
            raise DemoError(f"the gateway at {url} does not become ready")
        time.sleep(0.1)
