"""The directory asks the chain once for what many readings need at once, and never refuses by hearsay."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from chaincode.api import Device, DeviceStatus
from chaincode.payloads import encode_result
from gateway.directory import Directory
from gateway.problems import Refusal
from identity import KeyPair
from ledger.errors import ContractRefused
from protocol.readings import SignedReading

KEY = KeyPair.generate()
DEVICE = Device("d1", "A1", KEY.algorithm, KEY.spki, DeviceStatus.ACTIVE, 1)


class Chain:
    """Answers after ``gate`` opens, every question by the next answer; the last one for ever."""

    chain = "edge-a"

    def __init__(self, *answers: Device | None) -> None:
        self.answers = list(answers)
        self.gate = threading.Event()
        self.asked = 0
        self._lock = threading.Lock()

    def evaluate(self, message: Any) -> bytes:
        with self._lock:
            self.asked += 1
            found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        assert self.gate.wait(10)
        if found is None:
            raise ContractRefused("not-found", "no such device", status=404)
        return encode_result(message.FUNCTION, found)


def reading(device: str = "d1") -> SignedReading:
    return SignedReading(device, device, KEY.algorithm, 1, "n", bytes(32), "a/b", bytes(64))


def ask_together(directory: Directory, chain: Chain, count: int) -> list[Any]:
    """What each of ``count`` threads gets that ask before the chain answers the first."""

    def ask() -> Any:
        try:
            return directory.signing_key(reading()).spki
        except Refusal as refusal:
            return refusal.problem.slug

    with ThreadPoolExecutor(count) as pool:
        asking = [pool.submit(ask) for _ in range(count)]
        time.sleep(0.2)  # all have come by now; if one has not, it finds the answer kept
        chain.gate.set()
        return [one.result(20) for one in asking]


def test_many_readings_of_a_device_ask_once() -> None:
    chain = Chain(DEVICE)
    directory = Directory(cast(Any, chain), 5.0, time.monotonic)
    assert ask_together(directory, chain, 8) == [KEY.spki] * 8
    assert chain.asked == 1
    assert directory.signing_key(reading()).spki == KEY.spki
    assert chain.asked == 1


def test_a_refusal_is_only_for_who_asked() -> None:
    """The device may have been enrolled after the question that was refused was put."""
    chain = Chain(None, DEVICE)
    directory = Directory(cast(Any, chain), 5.0, time.monotonic)
    found = ask_together(directory, chain, 8)
    assert sorted(map(str, found)) == sorted(map(str, ["unknown-device", *[KEY.spki] * 7]))


def test_what_was_kept_is_asked_for_again_after_its_time() -> None:
    now = [0.0]
    chain = Chain(DEVICE)
    chain.gate.set()
    directory = Directory(cast(Any, chain), 5.0, lambda: now[0])
    for at, asked in ((0.0, 1), (4.9, 1), (5.1, 2), (10.0, 2)):
        now[0] = at
        directory.signing_key(reading())
        assert chain.asked == asked
    directory.forget("d1")
    directory.signing_key(reading())
    assert chain.asked == 3


@pytest.mark.parametrize("error", [RuntimeError("a fault"), KeyboardInterrupt()])
def test_after_a_fault_the_chain_is_asked_again(error: BaseException) -> None:
    chain = Chain(DEVICE)
    chain.gate.set()
    directory = Directory(cast(Any, chain), 5.0, time.monotonic)
    evaluate = chain.evaluate

    def fail(message: Any) -> bytes:
        raise error

    chain.evaluate = fail
    with pytest.raises(type(error)):
        directory.signing_key(reading())
    chain.evaluate = evaluate
    assert directory.signing_key(reading()).spki == KEY.spki
