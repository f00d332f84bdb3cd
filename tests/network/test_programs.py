from __future__ import annotations

from pathlib import Path

import pytest

from network.errors import CommandFailed, ProgramMissing
from network.programs import NEEDED, find_programs, program_version, run_program


def make(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def release(folder: Path, version: str) -> Path:
    for name in NEEDED:
        make(folder, name, f'printf "{name}:\\n Version: {version}\\n Go version: go1.26.8\\n"')
    return folder


@pytest.mark.parametrize(
    ("said", "read"), [("3.1.5", (3, 1, "5")), ("v3.2.0-rc1", (3, 2, "0-rc1")), ("2.5", (2, 5, ""))]
)
def test_a_version_is_read(tmp_path: Path, said: str, read: tuple[int, int, str]) -> None:
    release(tmp_path, said)
    assert program_version("peer", tmp_path / "peer") == read


def test_programs_are_found_by_absolute_paths(tmp_path: Path) -> None:
    found = find_programs(release(tmp_path, "3.1.0"))
    assert found.orderer == tmp_path / "orderer"


@pytest.mark.parametrize("version", ["2.5.12", "3.0.0", "latest"])
def test_an_old_release_is_refused(tmp_path: Path, version: str) -> None:
    with pytest.raises(ProgramMissing, match=r"3\.1 or newer"):
        find_programs(release(tmp_path, version))


def test_all_that_is_missing_is_named(tmp_path: Path) -> None:
    release(tmp_path, "3.1.5")
    for name in ("orderer", "osnadmin"):
        (tmp_path / name).unlink()
    with pytest.raises(ProgramMissing, match=r"orderer, osnadmin.*FABRIC_BIN"):
        find_programs(tmp_path)


def test_programs_that_are_elsewhere_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    found = release(tmp_path / "bin", "3.1.5")
    monkeypatch.setenv("PATH", str(found))
    with pytest.raises(ProgramMissing, match=rf"not in {tmp_path} .*{found}/peer.*correct or unset it"):
        find_programs(tmp_path)
    (found / "peer").unlink()
    with pytest.raises(ProgramMissing, match="install Hyperledger Fabric"):
        find_programs(tmp_path)


def test_a_refusal_carries_the_end_of_what_was_said(tmp_path: Path) -> None:
    tool = make(tmp_path, "peer", "echo out; echo 'no such channel' >&2; exit 3")
    with pytest.raises(CommandFailed, match=r"(?s)peer channel join: exit 3.*no such channel"):
        run_program([tool, "channel", "join"])


def test_a_tool_that_does_not_end_is_ended(tmp_path: Path) -> None:
    tool = make(tmp_path, "peer", "exec sleep 60")
    with pytest.raises(CommandFailed, match="no end after"):
        run_program([tool], timeout_s=0.3)


def test_nothing_of_the_callers_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORE_PEER_ADDRESS", "elsewhere:1")
    tool = make(tmp_path, "peer", 'echo "[$CORE_PEER_ADDRESS][$FABRIC_CFG_PATH]"')
    assert run_program([tool], environment={"FABRIC_CFG_PATH": "/here"}) == "[][/here]\n"
