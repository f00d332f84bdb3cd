"""Death at every point of a run: who starts again goes on, nothing is lost and nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from training_play import ArithmeticWorker, Play, stage
from world import MAIN

from chaincode.api import Message
from ledger.errors import UnknownOutcome
from protocol.elements import views
from protocol.encodings import encode, sha256
from training.machine import Finished
from training.tasks import UpdateResult, UpdateTask


class Death(BaseException):
    """The process is gone: no handler of the product may see this."""


class Deaths:
    """Dies once before and once after everything that can be told apart."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.count = 0

    def at(self, point: str, when: str) -> None:
        if (point, when) not in self.seen:
            self.seen.add((point, when))
            self.count += 1
            raise Death(f"{when} {point}")


class MortalLedger:
    """Dies before a submission and, at the next try, after it is committed."""

    def __init__(self, inner, deaths: Deaths) -> None:
        self._inner, self._deaths = inner, deaths

    def submit(self, message: Message, *, timeout: float = 30.0):
        point = f"{self._inner.chain} {message.FUNCTION} {sha256(encode(message)).hex()[:16]}"
        self._deaths.at(point, "before")
        receipt = self._inner.submit(message, timeout=timeout)
        self._deaths.at(point, "after")
        return receipt

    def __getattr__(self, name: str):
        return getattr(self._inner, name)


class MortalWorker(ArithmeticWorker):
    """Dies while it computes and right after, once for each step."""

    def __init__(self, deaths: Deaths) -> None:
        super().__init__()
        self._deaths = deaths

    def update(self, task: UpdateTask) -> UpdateResult:
        point = f"update {task.number} {sha256(task.aggregate + task.parent + task.data).hex()[:16]}"
        self._deaths.at(point, "during")
        result = super().update(task)
        self._deaths.at(point, "after")
        return result


def _recorded(play: Play, chain: str) -> Iterator[str]:
    """What stands valid on a chain, without anchors."""
    for block in play.world.ledgers[chain].blocks(0):
        for view in views(block):
            if view.code == 0 and view.function.split(":")[0] in ("runs", "steps", "models", "attestations"):
                yield f"{view.function} {sha256(view.payload).hex()}"


def _play_through(play: Play, deaths: Deaths) -> int:
    """Drive; whoever dies takes everybody along, and all start again from nothing. How many lives it took."""
    for life in range(1, 500):
        try:
            play.drive(play.machines())
        except Death:
            continue
        return life
    raise AssertionError("no end")


def test_death_before_and_after_everything(tmp_path):
    undisturbed = stage(tmp_path / "calm", ArithmeticWorker())
    undisturbed.drive(undisturbed.machines())
    deaths = Deaths()
    play = stage(tmp_path / "deadly", MortalWorker(deaths))
    play.wrap = lambda ledger: MortalLedger(ledger, deaths)
    lives = _play_through(play, deaths)
    # Two edges, two rounds: adoptions, steps, votes, versions and publications, with two deaths each.
    assert lives == deaths.count + 1
    assert deaths.count >= 44
    for chain in play.world.chains:
        calm, deadly = (Counter(f.split()[0] for f in _recorded(p, chain)) for p in (undisturbed, play))
        if chain == MAIN:
            assert deadly == calm
        else:
            # Votes after acceptance may differ in number with who came first; all else is there exactly once.
            assert {k: n for k, n in deadly.items() if k != "attestations:attest"} == {
                k: n for k, n in calm.items() if k != "attestations:attest"
            }
        twice = [what for what, count in Counter(_recorded(play, chain)).items() if count > 1]
        assert not [what for what in twice if not what.startswith("attestations")]
    for machine in play.machines():
        assert isinstance(machine.advance(), Finished)
    undisturbed.world.close()
    play.world.close()


class VagueLedger:
    """Commits, and then cannot say so: the first answer to every submission is an unknown outcome."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self._told: set[bytes] = set()

    def submit(self, message: Message, *, timeout: float = 30.0):
        receipt = self._inner.submit(message, timeout=timeout)
        if encode(message) not in self._told:
            self._told.add(encode(message))
            raise UnknownOutcome("who knows", transaction=receipt.transaction)
        return receipt

    def __getattr__(self, name: str):
        return getattr(self._inner, name)


def test_an_unknown_outcome_is_looked_up_on_the_chain(tmp_path):
    play = stage(tmp_path, ArithmeticWorker(), edges=("edge-a",))
    play.wrap = VagueLedger
    for _ in range(200):
        try:
            play.drive(play.machines())
            break
        except UnknownOutcome:
            continue
    else:
        pytest.fail("no end")
    counts = Counter(what.split()[0] for what in _recorded(play, "edge-a"))
    assert (counts["steps:submit"], counts["models:publish"], counts["runs:adopt"]) == (2, 2, 1)
    counts = Counter(what.split()[0] for what in _recorded(play, MAIN))
    assert (counts["models:commit"], counts["attestations:attest"]) == (2, 2)
    play.world.close()
