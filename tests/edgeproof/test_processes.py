from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeproof.deployment import Plan
from edgeproof.setup import make_deployment
from network import down
from network.records import Records

WAITING = """
import os, sys
from edgeproof.processes import stop_on_signals
stop = stop_on_signals()
print("up", flush=True)
while not stop.wait(0.0005):
    pass
print("ended", flush=True)
"""

IN_THE_LOCK = """
import os, signal
from edgeproof.processes import stop_on_signals
stop = stop_on_signals()
with stop._cond:  # where a waiting main thread is for a moment
    os.kill(os.getpid(), signal.SIGTERM)
stop.wait()
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_waiting_process_cleanly(number: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(process.pid, number)
    rest, _ = process.communicate(timeout=20)
    assert (process.returncode, rest) == (0, "ended\n")


def test_a_signal_inside_the_events_own_lock_does_no_harm() -> None:
    result = subprocess.run(
        [sys.executable, "-c", IN_THE_LOCK], capture_output=True, text=True, check=True, timeout=20
    )
    assert result.stdout == "ended\n"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_services_that_are_started_by_hand_are_entered_and_ended_with_the_rest(tmp_path: Path) -> None:
    """Twice the same may run; a gateway's worker that ends is no end of the gateway."""
    root = make_deployment(tmp_path / "deployment", Plan.standard(1)).root
    serve = (sys.executable, "-m", "edgeproof", "serve")
    commands = [("relay",), ("relay",), ("gateway", "--edge", "edge-a", "--port", "0")]
    said = (tmp_path / "said").open("w")
    started = [
        subprocess.Popen([*serve, *words, "--deployment", str(root)], stderr=said) for words in commands
    ]
    try:
        names = {
            f"{name}.{one.pid}"
            for name, one in zip(("relay", "relay", "gateway.edge-a"), started, strict=True)
        }

        def entered() -> set[str]:
            return {record.name for record in Records(root / "run").living("service")}

        def until(holds: Callable[[], bool]) -> None:
            end = time.monotonic() + 60
            while not holds():
                assert time.monotonic() < end, (entered(), (tmp_path / "said").read_text())
                time.sleep(0.05)

        until(lambda: entered() == names and children(started[-1].pid) != [])
        (worker,) = children(started[-1].pid)

        def replaced() -> bool:
            left = children(started[-1].pid)
            if worker in left:  # sent again: one that has just been forked does not listen yet
                os.kill(worker, signal.SIGTERM)
            return left not in ([], [worker])

        until(replaced)
        assert entered() == names
        os.kill(started[0].pid, signal.SIGTERM)
        assert started[0].wait(30) == 0
        assert entered() == names - {f"relay.{started[0].pid}"}
        assert down(root) == 2
        assert [one.wait(30) for one in started] == [0, 0, 0]
        assert not Records(root / "run").all()
    finally:
        for one in started:
            one.kill()
            one.wait()
        said.close()
