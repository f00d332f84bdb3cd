"""The command as a whole: expected faults end with one line."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from edgeproof import cli
from edgeproof.deployment import Plan
from edgeproof.setup import make_deployment
from edgeproof.wiring import Parts


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgeproof", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cli") / "deployment"
    make_deployment(root, Plan.standard(1))
    return root


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "no name!"), "invalid-argument"),
        (("serve", "signer", "--chain", "main", "--organisation", "nobody"), "cannot read"),
        (
            ("serve", "signer", "--chain", "nowhere", "--organisation", "nobody"),
            "there is no chain 'nowhere'",
        ),
    ],
)
def test_an_expected_fault_is_one_line(folder: Path, arguments: tuple[str, ...], says: str) -> None:
    done = run(*arguments, "--deployment", str(folder))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("edgeproof: ")
    assert says in line


def test_a_damaged_ledger_is_one_line(folder: Path, tmp_path: Path) -> None:
    ledger = folder / "chains" / "main.sqlite"
    whole = ledger.read_bytes()
    ledger.write_bytes(b"no ledger" * 100)
    try:
        done = run("trust", "export", str(tmp_path / "trust.json"), "--deployment", str(folder))
    finally:
        ledger.write_bytes(whole)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "damaged or no ledger" in line


def test_a_trust_root_is_replaced_only_when_asked(folder: Path, tmp_path: Path) -> None:
    words = ("trust", "export", str(tmp_path / "trust.json"), "--deployment", str(folder))
    (tmp_path / "trust.json").write_text("another's")
    refused = run(*words)
    assert (refused.returncode, "--force" in refused.stderr) == (2, True)
    assert (tmp_path / "trust.json").read_text() == "another's"
    assert run(*words, "--force").returncode == 0
    assert "edgeproof/trust/v1" in (tmp_path / "trust.json").read_text()
    refused = run("trust", "export", str(tmp_path), "--deployment", str(folder), "--force")
    assert (refused.returncode, "folder" in refused.stderr) == (2, True)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_check_walks_chains_and_stores_and_names_damage(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "deployment", Plan.standard(1))
    with Parts(deployment, "test") as parts:
        parts.store("edge-a").put_pack([b"one reading", b"another reading"])

    check = ("check", "--deployment", str(deployment.root))
    sound = run(*check)
    assert sound.returncode == 0, sound.stderr
    assert "store of edge-a: 2 objects" in sound.stdout
    (pack,) = [
        path
        for path in deployment.store_path("edge-a").rglob("*")
        if path.is_file() and b"another reading" in path.read_bytes()
    ]
    pack.chmod(0o600)
    pack.write_bytes(pack.read_bytes().replace(b"another", b"amother"))
    spoilt = run(*check)
    assert spoilt.returncode == 1
    assert pack.name in spoilt.stderr
    assert "Traceback" not in spoilt.stderr
    store = deployment.store_path("edge-a")
    store.rename(tmp_path / "elsewhere")
    lost = run(*check)
    assert (lost.returncode, f"store of edge-a: {store} is not there" in lost.stderr) == (1, True)
    assert not store.exists()


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_bytes(b"")
    done = run("demo", "--out", str(taken))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"edgeproof: {taken}: ")


def test_an_address_without_its_scheme_is_refused_at_once() -> None:
    done = run("device", "submit", "-", "--url", "127.0.0.1:1", "--chain", "a", "--device", "b", "--key", "c")
    assert done.returncode == 2
    assert "http://" in done.stderr


def test_a_gateway_that_is_not_there_comes_with_what_starts_one(tmp_path: Path) -> None:
    key, reading = str(tmp_path / "key.pem"), tmp_path / "reading"
    reading.write_bytes(b"1")
    assert run("device", "new", key).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    words = ("--url", url, "--chain", "edge-a", "--device", "b", "--key", key)
    done = run("device", "submit", str(reading), *words)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert "Connection refused" in line
    assert "`edgeproof run`" in line


def test_run_refuses_a_port_where_somebody_listens(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("run", "--deployment", str(folder), "--port", str(port))
    assert done.returncode == 1
    _, line = done.stderr.splitlines()
    assert f"port {port}, for the gateway of edge-a" in line


def test_a_second_training_run_of_a_name_says_that_it_changes_nothing(folder: Path) -> None:
    first, second = (
        run("train", "twice", "--deployment", str(folder), *more) for more in ((), ("--rounds", "3"))
    )
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "was there already" not in first.stdout
    assert "10 rounds" in second.stdout
    assert "was there already" in second.stdout
