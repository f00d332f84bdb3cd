"""Devices in a process of their own: they sign readings beforehand, then send them as a load.

Signing is done before the clock starts and in another process than the gateway's, so that what is timed is
the gateway's work and the sending of ready bytes.
"""

from __future__ import annotations

import json
import multiprocessing
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.errors import MeasurementFailed
from benchmarks.http_load import Answers, drive, request_bytes
from gateway.client.readings import ReadingSigner
from identity import KeyPair

__all__ = ["CONTENT_TYPE", "DeviceLoad", "Load", "reading_bytes"]

CONTENT_TYPE = "application/json"
_START_S = 120.0


@dataclass(frozen=True)
class Load:
    """What shall be sent.

    ``batch`` is the number of readings a request: 0 for requests of the empty handler, 1 for single posts.
    """

    requests: int
    batch: int
    connections: int
    pause_s: float = 0.0


def reading_bytes(number: int) -> bytes:
    """A sensor's reading as JSON, about 90 bytes."""
    return json.dumps(
        {
            "sensor": "vibration",
            "number": number,
            "value": secrets.randbelow(10**6),
            "nonce": secrets.token_hex(8),
        }
    ).encode()


class DeviceLoad:
    """The process with the devices.

    Args:
        address: of the gateway.
        chain: the chain that the readings are signed for.
        keys: device name to its key's file; the devices take turns.
    """

    def __init__(self, address: tuple[str, int], chain: str, keys: dict[str, Path]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, address, chain, keys), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> DeviceLoad:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()

    def prepare(self, load: Load) -> None:
        """Have all requests signed and encoded; returns when they are ready.

        Raises:
            MeasurementFailed: the process does not.
        """
        self._ask(load)

    def run(self) -> Answers:
        """Send what was prepared.

        Raises:
            MeasurementFailed: not everything was answered as recorded.
        """
        answers = self._ask(None)
        assert isinstance(answers, Answers)
        return answers

    def _ask(self, what: Load | None) -> Any:
        try:
            self._pipe.send(what)
            if not self._pipe.poll(_START_S):
                raise MeasurementFailed("the load process does not answer")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise MeasurementFailed("the load process has ended") from error
        if isinstance(answer, str):
            raise MeasurementFailed(answer)
        return answer


def _work(pipe: Connection, address: tuple[str, int], chain: str, keys: dict[str, Path]) -> None:
    signers = [
        ReadingSigner(chain, name, KeyPair.load(path), clock=time.time) for name, path in sorted(keys.items())
    ]
    load, requests = Load(0, 0, 0), list[bytes]()
    while True:
        try:
            asked: Load | None = pipe.recv()
        except EOFError:
            return
        try:
            if asked is not None:
                load, requests = asked, _requests(asked, signers)
                pipe.send(True)
            else:
                answers = drive(address, requests, load.connections, pause_s=load.pause_s)
                _check(answers, load)
                pipe.send(answers)
        except MeasurementFailed as error:
            pipe.send(str(error))


def _requests(load: Load, signers: Sequence[ReadingSigner]) -> list[bytes]:
    if load.batch == 0:
        return [request_bytes("GET", "/livez", {})] * load.requests
    prepared = [
        signer.sign(reading_bytes(number), CONTENT_TYPE)
        for number, signer in enumerate(islice(cycle(signers), load.requests * load.batch))
    ]
    if load.batch == 1:
        return [request_bytes("POST", "/v1/readings", one.headers(), one.data) for one in prepared]
    headers = {"Content-Type": "application/json"}
    groups = (prepared[at : at + load.batch] for at in range(0, len(prepared), load.batch))
    return [
        request_bytes(
            "POST",
            "/v1/readings/batch",
            headers,
            json.dumps({"readings": [one.item() for one in group]}, separators=(",", ":")).encode(),
        )
        for group in groups
    ]


def _check(answers: Answers, load: Load) -> None:
    """Every request answered, every reading recorded."""
    wanted = 201 if load.batch == 1 else 200
    if answers.statuses != {wanted: load.requests}:
        other = next((body for body in answers.bodies if b"urn:edgeproof:problem" in body), b"")
        raise MeasurementFailed(f"statuses {dict(answers.statuses)}, not {wanted} alone; {other[:300]!r}")
    if load.batch > 1:
        recorded = sum(body.count(b'"status":"recorded"') for body in answers.bodies)
        if recorded != load.requests * load.batch:
            raise MeasurementFailed(f"{recorded} of {load.requests * load.batch} readings are recorded")
