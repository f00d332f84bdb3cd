from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from fleet_processes import free_port
from prepared_network import prepared

from edgeproof import cli
from edgeproof.commands.network import app
from network import Network
from network.records import register


def run(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeproof", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)  # type: ignore[call-overload,no-any-return]


def network(*words: str) -> subprocess.CompletedProcess[str]:
    return run("network", *words)


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: exit code and standard error."""

    def called(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["edgeproof", "network", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return called


def test_what_is_not_there_is_one_line_and_exit_1(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    root = ("--root", str(tmp_path / "none"))
    for words, said in (
        (("status", *root), "holds no network"),
        (("down", *root), "holds no network"),
        (("logs", *root), "has no logs"),
        (("snapshot", str(tmp_path / "kept"), *root), "holds no network"),
        (("identities", *root), "holds no network"),
        (("render", "compose", "--out", str(tmp_path), *root), "holds no network"),
        (("export", str(tmp_path / "kept"), "--host", "cloud", *root), "holds no network"),
        (("up", *root, "--topology", "nowhere.yaml"), "no such file"),
    ):
        code, told = command(*words)
        assert code == 1, words
        (line,) = told.splitlines()
        assert line.startswith("edgeproof: ")
        assert said in line
    assert not (tmp_path / "none").exists()


def test_down_of_a_network_that_is_down_is_no_fault(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    layout, _ = prepared(tmp_path / "net", "dev")
    for _ in range(2):
        code, told = command("down", "--root", str(layout.root))
        assert (code, "Nothing was running" in told) == (0, True)
    code, told = command("status", "--root", str(layout.root))
    assert (code, f"`edgeproof network up --root {layout.root}`" in told) == (3, True)


def test_ctrl_c_ends_at_once_and_says_what_holds(tmp_path: Path) -> None:
    stopped = (
        "import threading, time; from pathlib import Path\n"
        "from edgeproof.commands import network_common as c\n"
        "with c.stoppable(Path('net'), c.progress_lines()):\n"
        "    threading.Thread(target=time.sleep, args=(100,)).start()\n"
        "    raise KeyboardInterrupt"
    )
    done = subprocess.run(
        [sys.executable, "-c", stopped], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 130
    (line,) = done.stderr.splitlines()
    assert "the same command goes on from here, `edgeproof network down --root net`" in line


@pytest.mark.fabric
def test_an_unknown_host_is_refused_before_anything_is_written(
    tmp_path: Path, command: Callable[..., tuple[int, str]]
) -> None:
    code, told = command("up", "--root", str(tmp_path / "none"), "--host", "mars", "--topology", "dev")
    assert (code, "no host 'mars'" in told) == (1, True)
    assert not (tmp_path / "none").exists()


def test_renew_says_who_still_uses_the_former_certificates(tmp_path: Path) -> None:
    layout, topology = prepared(tmp_path / "net", "dev")
    root = ("--root", str(layout.root))
    member, node = "identities/edge-a-owner/gateway", f"nodes/{topology.nodes[0].name}/tls"
    with register(layout.run, "services", ["edgeproof", "run"]):
        told = f"Restart what still uses the former certificates: services (process {os.getpid()})\n"
        assert network("renew", member, *root).stdout.endswith(told)
        # A process of the network is restarted by the command itself.
        assert "Restart" not in network("renew", node, *root).stdout
    assert "Restart" not in network("renew", member, *root).stdout


def test_every_command_says_how_it_ends_and_is_in_the_guide() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    guide = (Path(__file__).parents[2] / "docs" / "network.md").read_text()
    assert len(group.commands) > 20
    for name, found in group.commands.items():
        parts = found.commands if isinstance(found, typer.core.TyperGroup) else {name: found}
        for part, command in parts.items():
            words = name if part == name else f"{name} {part}"
            assert f"`{words}" in guide or f", `{words}" in guide, words
            assert command.help, words
            assert command.epilog is not None, words
            assert command.epilog.startswith("Exit codes: 0 "), words


def test_doctor_says_what_is_missing_and_ends_with_1(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    words = ("network", "doctor", "--root", str(tmp_path / "net"), "--topology", "dev")
    done = run(*words, env={"FABRIC_BIN": str(empty), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert f"✗ peer: not in {empty}" in done.stdout
    assert "FABRIC_BIN" in done.stdout
    found = run(*words, "--json", env={"FABRIC_BIN": str(empty), "PATH": "/usr/bin:/bin"})
    problems = {finding["subject"] for finding in json.loads(found.stdout) if finding["level"] == "problem"}
    assert {"peer", "orderer", "configtxgen", "osnadmin"} <= problems


def test_clean_removes_networks_alone(tmp_path: Path) -> None:
    (tmp_path / "somebody's").write_text("data")
    done = network("clean", "--yes", "--root", str(tmp_path))
    assert done.returncode == 1
    assert "is no network's folder" in done.stderr
    assert (tmp_path / "somebody's").exists()
    (tmp_path / "net" / "run").mkdir(parents=True)
    (tmp_path / "net" / "topology.yaml").touch()
    assert network("clean", "--yes", "--root", str(tmp_path / "net")).returncode == 0
    assert not (tmp_path / "net").exists()


def test_one_run_a_deployment_and_down_ends_it(tmp_path: Path) -> None:
    folder = str(tmp_path / "mine")
    assert run("init", "--deployment", folder, "--edges", "1").returncode == 0
    port, other = str(free_port()), str(free_port())
    command = [sys.executable, "-m", "edgeproof", "run", "--deployment", folder, "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert "Starting" in first.stdout.readline()
        second = run("run", "--deployment", folder, "--port", other)
        assert second.returncode == 1
        assert f"supervised by process {first.pid} already" in second.stderr
        started = time.monotonic()
        down = network("down", "--root", folder)
        assert down.returncode == 0
        assert "Ending services" in down.stderr
        assert first.wait(1) == 0
        assert time.monotonic() - started < 30
    assert network("down", "--root", folder).returncode == 0


@pytest.mark.fabric
def test_a_running_network_is_shown_and_up_again_changes_nothing(fabric_network: Network) -> None:
    root = ("--root", str(fabric_network.root))
    # Other tests revoke certificates: the first `up` after that restarts the peer that must know.
    assert network("up", *root).returncode == 0
    done = network("status", "--json", *root)
    assert done.returncode == 0
    before = {process["name"]: process["pid"] for process in json.loads(done.stdout)}
    assert len(before) == len(fabric_network.topology.nodes) + 1
    again = network("up", *root)
    assert again.returncode == 0, again.stderr
    assert "edge-a.peer.edge-a-owner" in again.stdout
    number = len(fabric_network.topology.nodes)
    assert f"{number} of {number} processes run; beside them keeper.local; " in again.stdout
    after = {
        process["name"]: process["pid"] for process in json.loads(network("status", "--json", *root).stdout)
    }
    assert after == before
    logs = network("logs", "-n", "3", "edge-a.orderer", *root)
    assert logs.returncode == 0
    assert len(logs.stdout.splitlines()) == 3
    assert all(line.startswith("edge-a.orderer.") for line in logs.stdout.splitlines())
    refused = network("restart", "keeper.local", *root)
    assert (refused.returncode, "none of the network's own processes" in refused.stderr) == (1, True)
    known = network("identities", *root)
    assert known.returncode == 0
    assert "identities/edge-a-owner/anchor-signer" in known.stdout
    healthy = network("doctor", *root)
    assert healthy.returncode == 0, healthy.stdout


@pytest.mark.fabric
def test_another_topology_over_a_network_is_refused(fabric_network: Network) -> None:
    done = network("up", "--root", str(fabric_network.root), "--topology", "default")
    assert done.returncode == 1
    assert "another topology" in done.stderr
    wrong = network("restart", "nobody", "--root", str(fabric_network.root))
    assert wrong.returncode == 1
    assert "no process is called 'nobody'" in wrong.stderr
