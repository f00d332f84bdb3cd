from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

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
