from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from network.child import ProcessSpec, Running
from network.control import Keeper
from network.errors import KeeperError, NetworkError, ProcessFailed
from network.halt import down
from network.keeper import _Service
from network.records import ProcessId, Record, Records, boot_id, register, working_alone
from network.restarts import keep_running
from network.supervisor import Supervisor
from network.topology import Node

SLEEPER = [sys.executable, "-c", "import time; time.sleep(120)"]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    # Longer than a socket's address may be.
    folder = tmp_path / ("a-long-name-" * 10)
    yield folder
    down(folder)


def living(root: Path) -> dict[str, ProcessId]:
    return {record.name: record.process for record in Records(root / "run").living("node")}


def specs(*names: str) -> list[ProcessSpec]:
    return [ProcessSpec(name, SLEEPER, {"NAME": name}) for name in names]


def test_what_a_keeper_keeps_runs_until_down(root: Path) -> None:
    keeper = Keeper.ensure(root)
    keeper.keep(specs("a", "b", "c"))
    assert sorted(living(root)) == ["a", "b", "c"]
    assert {state.name: state.pid for state in keeper.states()} == {n: p.pid for n, p in living(root).items()}
    before = living(root)
    started = time.monotonic()
    assert down(root) == 4
    assert time.monotonic() - started < 3.0
    assert not any(process.alive for process in before.values())
    assert Records(root / "run").all() == []
    assert Keeper.find(root) is None
    assert down(root) == 0


def test_keeping_the_same_again_changes_nothing_and_another_command_replaces(root: Path) -> None:
    keeper = Keeper.ensure(root)
    keeper.keep(specs("a", "b"))
    before = living(root)
    assert Keeper.ensure(root).states() == keeper.states()
    keeper.keep([*specs("a", "new"), ProcessSpec("b", SLEEPER, {"NAME": "otherwise"})])
    after = living(root)
    assert after["a"] == before["a"]
    assert after["b"] != before["b"]
    assert not before["b"].alive
    assert "new" in after
    keeper.forget(["new"])
    assert sorted(living(root)) == ["a", "b"]


def test_what_has_read_other_files_is_outdated(root: Path) -> None:
    keeper = Keeper.ensure(root)
    (root / "made").mkdir()
    reads = [str(root / "made"), str(root / "settings")]
    wanted = [ProcessSpec(name, SLEEPER, {}, reads[at:]) for at, name in enumerate("ab")]
    keeper.keep([*wanted, *specs("c")])
    before = living(root)
    assert keeper.outdated([*wanted, *specs("c", "new")]) == []
    (root / "made" / "more").write_text("x")
    assert keeper.outdated(wanted) == ["a"]
    (root / "settings").write_text("x")
    assert keeper.outdated(wanted) == ["a", "b"]
    # Whoever starts it, for whatever reason: now it has read them.
    keeper.restart(["b"])
    assert keeper.outdated(wanted) == ["a"]
    # A keeper that comes after a killed one knows what its processes had read.
    (record,) = Records(root / "run").living("keeper")
    os.kill(record.process.pid, signal.SIGKILL)
    wait_for(lambda: not record.process.alive)
    keeper = Keeper.ensure(root)
    assert keeper.outdated(wanted) == ["a"]
    keeper.keep([*wanted, *specs("c")])
    assert keeper.outdated(wanted) == []
    assert {name for name, process in living(root).items() if process == before[name]} == {"c"}


def test_a_keeper_of_another_version_says_so(root: Path) -> None:
    keeper = Keeper.ensure(root)
    with pytest.raises(KeeperError, match="knows no 'dance', it is of another version"):
        keeper._ask({"do": "dance"}, 5.0)


def test_a_killed_node_is_started_again_and_a_stopped_one_is_not(root: Path) -> None:
    keeper = Keeper.ensure(root)
    keeper.keep(specs("a", "b"))
    before = living(root)
    os.kill(before["a"].pid, signal.SIGKILL)
    wait_for(lambda: living(root).get("a") not in (None, before["a"]))
    state = {state.name: state for state in keeper.states()}["a"]
    assert (state.state, state.deaths, state.last_end) == ("running", 1, "SIGKILL")
    keeper.stop(["b"])
    assert not before["b"].alive
    assert {state.name: state.state for state in keeper.states()} == {"a": "running", "b": "stopped"}
    keeper.start(["b"])
    assert "b" in living(root)
    keeper.restart(["b"])
    assert {state.name: state.state for state in keeper.states()} == {"a": "running", "b": "running"}
    with pytest.raises(KeeperError, match=r"nothing is called 'c' here; there are a, b"):
        keeper.restart(["c"])


def test_a_killed_keeper_leaves_its_processes_to_the_next(root: Path) -> None:
    keeper = Keeper.ensure(root)
    keeper.keep(specs("a", "b"))
    before = living(root)
    (record,) = Records(root / "run").living("keeper")
    os.kill(record.process.pid, signal.SIGKILL)
    wait_for(lambda: not record.process.alive)
    assert living(root) == before
    assert Keeper.find(root) is None
    second = Keeper.ensure(root)
    assert {state.name: state.pid for state in second.states()} == {n: p.pid for n, p in before.items()}
    second.keep(specs("a", "b"))
    assert living(root) == before
    # It restarts what it adopted.
    os.kill(before["a"].pid, signal.SIGKILL)
    wait_for(lambda: living(root).get("a") not in (None, before["a"]))
    down(root)
    assert not any(process.alive for process in before.values())


def test_down_finds_what_a_killed_keeper_left(root: Path) -> None:
    Keeper.ensure(root).keep(specs("a", "b"))
    before = living(root)
    (record,) = Records(root / "run").living("keeper")
    os.kill(record.process.pid, signal.SIGKILL)
    wait_for(lambda: not record.process.alive)
    assert down(root) == 2
    assert not any(process.alive for process in before.values())


def test_a_keeper_that_hears_nothing_is_ended_with_all_it_keeps(root: Path) -> None:
    Keeper.ensure(root).keep(specs("a"))
    before = living(root)
    (root / "run" / "keeper.local.sock").unlink()
    assert down(root) == 2
    assert not before["a"].alive


def test_sigterm_ends_the_keeper_and_its_processes(root: Path) -> None:
    Keeper.ensure(root).keep(specs("a"))
    before = living(root)
    (record,) = Records(root / "run").living("keeper")
    os.kill(record.process.pid, signal.SIGTERM)
    wait_for(lambda: not record.process.alive)
    assert not before["a"].alive


def test_a_process_of_another_boot_or_with_a_used_number_is_never_signalled(root: Path) -> None:
    own = ProcessId.of(os.getpid())
    assert own is not None
    records = Records(root / "run")
    other_boot = ProcessId(own.pid, own.started, "00000000-0000-0000-0000-000000000000")
    other_start = ProcessId(own.pid, own.started + 1, boot_id())
    records.write(Record("rebooted", "node", "local", other_boot))
    records.write(Record("reused", "node", "local", other_start))
    records.write(Record("keeper.local", "keeper", "local", other_boot))
    assert records.living() == []
    assert [process.end(0.1) for process in (other_boot, other_start)] == [False, False]
    # A keeper starts over such records, and clears them away.
    keeper = Keeper.ensure(root)
    keeper.keep(specs("rebooted"))
    assert sorted(record.name for record in records.all("node")) == ["rebooted"]
    assert records.living("node")[0].process.pid != os.getpid()
    assert down(root) == 2


def test_other_supervisors_are_ended_first_and_stand_alone(root: Path) -> None:
    import subprocess

    run = root / "run"
    script = (
        "import time; from pathlib import Path; from network.records import register\n"
        f"with register(Path({str(run)!r}), 'services'): print('in', flush=True); time.sleep(120)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        refused = pytest.raises(ProcessFailed, match=rf"supervised by process {process.pid} already")
        with refused, register(run, "services"):
            raise AssertionError("two at once")
        assert down(root) == 1
        assert process.wait() == -signal.SIGTERM
    with register(run, "services"):
        assert [record.name for record in Records(run).living("supervisor")] == ["services"]
        # Its own `down` does not end it.
        assert down(root) == 0
    assert Records(run).all() == []


def test_a_second_keeper_of_a_host_is_refused_and_another_host_has_its_own(root: Path) -> None:
    from network.keeper import serve

    Keeper.ensure(root)
    with pytest.raises(ProcessFailed, match="already"):
        serve(root, "local", lambda: None)
    Keeper.ensure(root, "edge-a").keep(specs("b"))
    Keeper(root).keep(specs("a"))
    assert down(root, host="edge-a") == 2
    assert sorted(living(root)) == ["a"]


def test_two_commands_do_not_change_a_network_at_once(root: Path) -> None:
    with working_alone(root / "run"), pytest.raises(NetworkError, match="another command is changing"):
        down(root)


def test_a_process_that_cannot_be_kept_running_is_named_with_its_log(root: Path) -> None:
    keeper = Keeper.ensure(root)
    broken = ProcessSpec("broken", [sys.executable, "-c", "raise SystemExit('no such port')"])
    keeper.keep([broken, *specs("a")])
    keeper.check(["a"])

    def hopeless() -> bool:
        try:
            keeper.check()
        except ProcessFailed as error:
            return "broken keeps ending (exit 1)" in str(error) and "no such port" in str(error)
        return False

    wait_for(hopeless)


def test_what_can_be_stopped_is_stopped_beside_what_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One hangs in the kernel: here no signal reaches it."""
    records = Records(tmp_path / "run")
    with Supervisor(tmp_path / "logs", records=records, max_restarts=None) as supervisor:
        service = _Service(tmp_path / "run", "local", supervisor)
        service._answer({"do": "keep", "specs": [vars(spec) for spec in specs("a", "b")]})
        hanging, send, kill = supervisor.pid("a"), Running.signal, os.killpg
        with monkeypatch.context() as patch:
            patch.setattr("network.supervisor._KILL_S", 0.05)
            patch.setattr(
                Running,
                "signal",
                lambda self, number: None if self.process.pid == hanging else send(self, number),
            )
            patch.setattr("os.killpg", lambda pid, number: None if pid == hanging else kill(pid, number))
            with pytest.raises(ProcessFailed, match="a \\(process"):
                service._answer({"do": "stop", "names": ["a", "b"], "timeout_s": 1.0})
        states = {one["name"]: one["state"] for one in service._answer({"do": "states"})["states"]}
        assert states == {"a": "running", "b": "stopped"}
        service._answer({"do": "start", "names": ["b"]})
        assert supervisor.pid("b") is not None
    assert records.all() == []


def test_nobody_is_held_up_by_a_client_that_talks_nonsense(root: Path) -> None:
    import socket

    from network.control import keeper_socket

    keeper = Keeper.ensure(root)
    for words in (b"", b"{\n", b"[]\n", b'{"do": "keep"}\n', b"[" * 100_000 + b"\n"):
        with keeper_socket(root / "run", "local") as address, socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            assert b"not a request" in connection.recv(4096)
    assert keeper.states() == []


def test_files_of_the_keeper_are_its_owners_alone(root: Path) -> None:
    Keeper.ensure(root).keep(specs("a"))
    modes = {path.name: path.stat().st_mode & 0o077 for path in (root / "run").iterdir()}
    assert set(modes.values()) == {0}, modes
    assert (root / "logs" / "a.log").stat().st_mode & 0o077 == 0


def test_what_kept_ending_for_a_cause_that_is_gone_is_started_afresh(root: Path, tmp_path: Path) -> None:
    """As a peer whose port somebody had taken: the next `up` judges it by what it does then."""
    needed = tmp_path / "needed"
    script = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).read_text(); time.sleep(120)"
    described = [ProcessSpec("peer", [sys.executable, "-c", script, str(needed)])]
    node = Node("peer", "peer", "edge-a", "one", "local", "127.0.0.1", {"grpc": 1})
    keeper = Keeper.ensure(root)
    keep_running(keeper, [node], described, lambda line: None)

    def is_hopeless() -> bool:
        try:
            keeper.check()
        except ProcessFailed:
            return keeper.states()[0].state == "restarting"
        return False

    wait_for(is_hopeless, 30)
    needed.write_text("")
    told: list[str] = []
    keep_running(keeper, [node], described, told.append)
    keeper.check()
    assert told == ["Starting peer again"]
    wait_for(lambda: keeper.states()[0].state == "running")
