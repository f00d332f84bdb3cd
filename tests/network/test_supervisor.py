from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from network.errors import ProcessFailed
from network.supervisor import ProcessSpec, Supervisor

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"]


def wait_for(condition: object, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path, backoff_s=0.01) as supervisor:
        supervisor.start(ProcessSpec("sleeper", SLEEPER))
        first = supervisor.pid("sleeper")
        assert first is not None
        assert supervisor.kill("sleeper")
        wait_for(lambda: supervisor.pid("sleeper") not in (None, first))
        assert supervisor.deaths("sleeper") == 1


def test_stop_ends_every_process(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    for name in ("a", "b"):
        supervisor.start(ProcessSpec(name, SLEEPER))
    pids = [supervisor.pid(name) for name in ("a", "b")]
    supervisor.stop()
    assert not any(alive(pid) for pid in pids if pid is not None)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        " print('up', flush=True); time.sleep(60)"
    )
    supervisor = Supervisor(tmp_path)
    supervisor.start(ProcessSpec("stubborn", [sys.executable, "-c", script]))
    wait_for(lambda: (tmp_path / "stubborn.log").read_bytes() == b"up\n")
    pid = supervisor.pid("stubborn")
    assert pid is not None
    supervisor.stop(timeout_s=0.2)
    assert not alive(pid)


def test_what_a_process_left_behind_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import os, signal, time\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)\n"
    )
    supervisor = Supervisor(tmp_path)
    supervisor.start(ProcessSpec("parent", [sys.executable, "-c", script]))
    log = tmp_path / "parent.log"
    wait_for(lambda: log.read_bytes().endswith(b"\n"))
    grandchild = int(log.read_text())
    assert alive(grandchild)
    supervisor.stop()
    wait_for(lambda: not alive(grandchild), 2.0)


def test_a_process_that_keeps_ending_is_given_up_with_its_log(tmp_path: Path) -> None:
    with Supervisor(tmp_path, backoff_s=0.001, max_restarts=2) as supervisor:
        supervisor.start(ProcessSpec("broken", [sys.executable, "-c", "raise SystemExit('no port')"]))

        def given_up() -> bool:
            try:
                supervisor.check()
            except ProcessFailed as error:
                return "no port" in str(error)
            return False

        wait_for(given_up)


def test_the_first_start_alone_gets_the_extra_environment(tmp_path: Path) -> None:
    script = "import os,sys; print(os.environ.get('ARMED', 'no'), flush=True); sys.stdin.buffer.read()"
    with Supervisor(tmp_path, backoff_s=0.01) as supervisor:
        supervisor.start(ProcessSpec("armed", [sys.executable, "-c", script], {"ARMED": "yes"}))
        log = tmp_path / "armed.log"
        wait_for(lambda: log.exists() and log.read_text() == "yes\n")
        supervisor.kill("armed")
        wait_for(lambda: log.read_text() == "yes\nno\n")


def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    child = (
        "import time; from edgeproof.processes import stop_with_parent; stop_with_parent();"
        " print('up', flush=True); time.sleep(60)"
    )
    parent = (
        "import sys,time; from pathlib import Path; from network.supervisor import *;"
        f" s = Supervisor(Path({str(tmp_path)!r}));"
        f" s.start(ProcessSpec('child', [sys.executable, '-c', {child!r}]));"
        " print(s.pid('child'), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    log = tmp_path / "child.log"
    wait_for(lambda: log.exists() and log.read_bytes() == b"up\n")
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for(lambda: not alive(pid))


def test_a_name_is_supervised_once(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(ProcessSpec("one", SLEEPER))
        with pytest.raises(ProcessFailed, match="already"):
            supervisor.start(ProcessSpec("one", SLEEPER))
