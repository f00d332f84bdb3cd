from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaincode.api import FixCut, GetHeads
from edgeproof.faults import Failpoint, FailpointQueue, FaultyLedger, FaultyStore, arm
from ledger.port import ChainInformation, Ledger, Receipt
from store import Store


class Killed(Exception):
    """Stands for the process's end."""


def die() -> None:
    raise Killed


class RecordingLedger:
    """Answers everything, and remembers what was asked."""

    chain = "edge-a"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, message: Any, *, timeout: float = 30.0) -> Receipt:
        self.asked.append(f"submit {message.FUNCTION} {timeout:g}")
        return Receipt("ab", 7, b"payload")

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            self.asked.append(name)
            return (name, *arguments)

        return answer


class RecordingStore:
    """Answers with what was put."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def answer(*arguments: Any) -> Any:
            self.asked.append(name)
            return (name, *arguments)

        return answer


def ledger(inner: RecordingLedger, text: str) -> FaultyLedger:
    return FaultyLedger(cast(Ledger, inner), Failpoint(text, die))


@pytest.mark.parametrize("visit", [1, 2, 3])
def test_before_a_submission_the_chain_is_not_asked(visit: int) -> None:
    inner = RecordingLedger()
    faulty = ledger(inner, f"before:interlock:cut:{visit}")
    for number in range(1, visit):
        faulty.submit(FixCut(number))
    with pytest.raises(Killed):
        faulty.submit(FixCut(visit))
    assert len(inner.asked) == visit - 1


@pytest.mark.parametrize("visit", [1, 2, 3])
def test_after_a_submission_the_chain_has_it(visit: int) -> None:
    inner = RecordingLedger()
    faulty = ledger(inner, f"after:interlock:cut:{visit}")
    for number in range(1, visit):
        faulty.submit(FixCut(number))
    with pytest.raises(Killed):
        faulty.submit(FixCut(visit), timeout=2.0)
    assert len(inner.asked) == visit
    assert inner.asked[-1] == "submit interlock:cut 2"


def test_an_action_that_fails_is_not_visited_after() -> None:
    point = Failpoint("after:name", die)

    def fail() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        point.around("name", fail)
    with pytest.raises(Killed):
        point.around("name", lambda: None)


def test_other_functions_and_reads_are_left_alone() -> None:
    inner = RecordingLedger()
    faulty = ledger(inner, "before:interlock:accept")
    assert faulty.submit(FixCut(1)).block == 7
    assert faulty.evaluate(GetHeads()) == ("evaluate", GetHeads())  # type: ignore[comparison-overlap]
    faulty.blocks(3)
    faulty.wait(4, 0.5)
    faulty.block(5)
    faulty.find("ab")
    information: ChainInformation = faulty.information()
    faulty.close()
    assert information == ("information",)
    assert inner.asked[1:] == ["evaluate", "blocks", "wait", "block", "find", "information", "close"]
    assert faulty.chain == "edge-a"


@pytest.mark.parametrize(
    ("name", "argument"), [("put", b"bytes"), ("put_pack", [b"one", b"two"]), ("put_tree", b"weights")]
)
def test_writes_to_a_store_are_surrounded(name: str, argument: bytes | Sequence[bytes]) -> None:
    for when, asked in (("before", []), ("after", [name])):
        inner = RecordingStore()
        faulty = FaultyStore(cast(Store, inner), Failpoint(f"{when}:store:{name}", die))
        with pytest.raises(Killed):
            getattr(faulty, name)(argument)
        assert inner.asked == asked
        # The one visit is over: the next write goes through, and reads were never concerned.
        assert getattr(faulty, name)(argument) == (name, argument)
        assert faulty.get(b"address") == ("get", b"address")


@pytest.mark.parametrize(
    "text", ["", "store:put", "during:store:put", "before:", "after", "before:x:0", "all:store:put", "all:"]
)
def test_a_misspelt_point_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no failpoint"):
        Failpoint(text)


def test_nothing_is_armed_without_a_setting(tmp_path: Path) -> None:
    assert arm("", "relay") is None
    assert arm(f"@{tmp_path}", "relay") is None
    assert isinstance(arm("before:x", "relay"), Failpoint)


def test_a_queue_gives_one_point_a_life(tmp_path: Path) -> None:
    queue = FailpointQueue(tmp_path, "relay")
    queue.fill(["before:one", "after:two:2"])
    assert FailpointQueue(tmp_path, "other").arm() is None
    code = die_at(tmp_path, "one")
    assert code == -signal.SIGKILL
    assert queue.points() == ["after:two:2"]
    # A life in which the point is not reached leaves it where it stands.
    assert die_at(tmp_path, "one") == 0
    assert die_at(tmp_path, "two") == 0
    assert queue.points() == ["after:two:2"]
    assert die_at(tmp_path, "two", "two") == -signal.SIGKILL
    assert queue.points() == []
    assert die_at(tmp_path, "two", "two") == 0
    assert [point for _, point in queue.reached()] == ["before:one", "after:two:2"]
    assert all(pid != os.getpid() for pid, _ in queue.reached())


def test_a_life_that_ends_late_does_not_take_the_next_ones_point(tmp_path: Path) -> None:
    queue = FailpointQueue(tmp_path, "relay")
    queue.fill(["before:one", "before:two"])
    late = queue.arm()
    assert late is not None
    assert die_at(tmp_path, "one") == -signal.SIGKILL
    late.around("one", lambda: None)  # would kill the test
    assert queue.points() == ["before:two"]


def test_a_whole_group_ends_with_its_member(tmp_path: Path) -> None:
    def group(point: str) -> tuple[int, int]:
        """Return codes of a parent and of the child in its group that reaches the point."""
        script = (
            "import os, sys, time; from edgeproof.faults import Failpoint\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            f"    Failpoint({point!r}).around('x', lambda: None)\n"
            "    os._exit(0)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9)\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
        return process.wait(timeout=30), process.pid

    assert group("before:x")[0] == 1  # the parent lives and sees its child die
    assert group("all:before:x")[0] == -signal.SIGKILL


def die_at(folder: Path, *visits: str) -> int:
    """A process that is armed as ``relay`` and visits these names; how it ended."""
    script = (
        "import sys; from edgeproof.faults import arm\n"
        "point = arm('@' + sys.argv[1], 'relay')\n"
        "for name in sys.argv[2:]:\n"
        "    point and point.around(name, lambda: None)\n"
    )
    return subprocess.run([sys.executable, "-c", script, str(folder), *visits], check=False).returncode


def test_a_kill_can_be_replaced() -> None:
    seen: list[str] = []
    kill = functools.partial(seen.append, "here")
    Failpoint("all:before:x", kill).around("x", lambda: seen.append("action"))
    assert seen == ["here", "action"]
