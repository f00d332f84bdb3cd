from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from network.child import ProcessSpec
from network.errors import ProcessFailed
from network.records import Record, Records
from network.supervisor import Supervisor

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


def test_every_start_gets_the_environment_and_nothing_else_where_one_is_given(tmp_path: Path) -> None:
    script = "import os,sys; print(sorted(os.environ), flush=True); sys.stdin.buffer.read()"
    base = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    with Supervisor(tmp_path, backoff_s=0.01, environment=base) as supervisor:
        supervisor.start(ProcessSpec("dressed", [sys.executable, "-c", script], {"MINE": "yes"}))
        log = tmp_path / "dressed.log"
        line = "['LC_ALL', 'MINE', 'PATH']\n"
        wait_for(lambda: log.exists() and log.read_text() == line)
        supervisor.kill("dressed")
        wait_for(lambda: log.read_text() == 2 * line)


def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    child = (
        "import time; from edgeproof.processes import stop_with_parent; stop_with_parent();"
        " print('up', flush=True); time.sleep(60)"
    )
    parent = (
        "import sys,time; from pathlib import Path; from network.child import *;"
        " from network.supervisor import *;"
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


def test_one_that_outlives_sigkill_is_told_and_its_record_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process does that hangs in the kernel: here no signal reaches it."""
    records = Records(tmp_path / "run")
    supervisor = Supervisor(tmp_path, records=records)
    supervisor.start(ProcessSpec("hanging", RECORDED))
    with monkeypatch.context() as patch:
        patch.setattr("network.supervisor._KILL_S", 0.05)
        patch.setattr("network.child.Running.signal", lambda *_: None)
        patch.setattr("os.killpg", lambda *_: None)
        began = time.monotonic()
        with pytest.raises(ProcessFailed, match=rf"hanging \(process {supervisor.pid('hanging')}\): cannot"):
            supervisor.end(["hanging"], 0.05)
        assert time.monotonic() - began < 5
    (record,) = records.living("node")
    assert supervisor.pid("hanging") == record.process.pid
    supervisor.stop()
    assert not record.process.alive
    assert records.all() == []


def test_an_end_by_a_signal_without_a_name_is_told_and_it_is_started_again(tmp_path: Path) -> None:
    with Supervisor(tmp_path, backoff_s=0.01) as supervisor:
        supervisor.start(ProcessSpec("sleeper", SLEEPER))
        first = supervisor.pid("sleeper")
        assert first is not None
        os.kill(first, 40)
        wait_for(lambda: supervisor.pid("sleeper") not in (None, first))
        assert supervisor.states()[0].last_end == "signal 40"


def test_a_name_is_supervised_once(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(ProcessSpec("one", SLEEPER))
        with pytest.raises(ProcessFailed, match="already"):
            supervisor.start(ProcessSpec("one", SLEEPER))


def test_a_large_log_is_turned_over_while_its_process_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("network.supervisor._ROTATION_S", 0.05)
    script = "import time\nwhile True: print('new', flush=True); time.sleep(0.02)"
    log, old = tmp_path / "talker.log", tmp_path / "talker.log.1"
    log.write_bytes(b"old\n" * 3 * 1024 * 1024)
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(ProcessSpec("talker", [sys.executable, "-c", script]))
        wait_for(lambda: old.exists() and log.read_bytes().startswith(b"new\n"))
        assert old.read_bytes().startswith(b"old\n" * 3 * 1024 * 1024)
        assert supervisor.deaths("talker") == 0


def test_a_program_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        with pytest.raises(ProcessFailed, match="cannot be started"):
            supervisor.start(ProcessSpec("missing", ["/nowhere/at-all"]))
        assert supervisor.names() == ()


def test_one_of_several_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        for name in ("a", "b"):
            supervisor.start(ProcessSpec(name, SLEEPER))
        gone, stays = supervisor.pid("a"), supervisor.pid("b")
        supervisor.end(["a"])
        assert gone is not None
        assert not alive(gone)
        assert supervisor.names() == ("b",)
        assert supervisor.pid("b") == stays


RECORDED = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_recorded_processes_outlive_a_killed_supervisor_and_are_adopted(tmp_path: Path) -> None:
    parent = (
        "import time; from pathlib import Path; from network.child import *;"
        " from network.supervisor import *;"
        " from network.records import Records;"
        f" s = Supervisor(Path({str(tmp_path)!r}), records=Records(Path({str(tmp_path / 'run')!r})));"
        f" [s.start(ProcessSpec(name, {RECORDED!r}, {{'WHO': name}})) for name in 'ab'];"
        " print('up', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.kill()
    process.wait()
    process.stdout.close()
    records = Records(tmp_path / "run")
    found = records.living("node")
    assert [record.name for record in found] == ["a", "b"]
    with Supervisor(tmp_path, records=records, backoff_s=0.01) as supervisor:
        for record in found:
            assert supervisor.adopt(record)
            assert supervisor.pid(record.name) == record.process.pid
        # An adopted process is watched like any other, and started again as its record says.
        assert supervisor.kill("a")
        wait_for(lambda: supervisor.pid("a") not in (None, found[0].process.pid))
        again = records.read("a")
        assert again is not None
        assert (again.process.pid, again.environment) == (supervisor.pid("a"), {"WHO": "a"})
    wait_for(lambda: not any(record.process.alive for record in found))
    assert records.all() == []


def test_a_process_waits_for_its_record(tmp_path: Path) -> None:
    class Full(Records):
        def write(self, record: Record) -> None:
            raise OSError(28, "No space left on device")

    witness = tmp_path / "ran"
    supervisor = Supervisor(tmp_path, records=Full(tmp_path / "run"))
    with pytest.raises(ProcessFailed, match="No space left"):
        supervisor.start(ProcessSpec("one", ["/bin/sh", "-c", f"touch {witness}; sleep 60"]))
    supervisor.stop()
    assert not witness.exists()


def test_what_is_never_given_up_is_started_once_the_system_allows(tmp_path: Path) -> None:
    class FullAtFirst(Records):
        refused = 0

        def write(self, record: Record) -> None:
            if self.refused < 2:
                self.refused += 1
                raise OSError(28, "No space left on device")
            super().write(record)

    records = FullAtFirst(tmp_path / "run")
    with Supervisor(tmp_path, records=records, max_restarts=None, backoff_s=0.05) as supervisor:
        supervisor.start(ProcessSpec("one", RECORDED))
        (state,) = supervisor.states()
        assert (state.state, state.pid) == ("restarting", None)
        assert "No space left" in state.last_end
        wait_for(lambda: supervisor.pid("one") is not None)
        assert records.refused == 2
        assert [record.process.pid for record in records.living("node")] == [supervisor.pid("one")]
