from __future__ import annotations

import errno
import gzip
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from network import down
from network.child import ProcessSpec
from network.control import Keeper
from network.errors import SnapshotError
from network.records import register
from network.snapshots import restore, snapshot
from network.topology_file import named_topology


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "net"
    (folder / "identities" / "one").mkdir(parents=True)
    (folder / "nodes" / "peer" / "data").mkdir(parents=True)
    shutil.copy(named_topology("dev"), folder / "topology.yaml")
    key = folder / "identities" / "one" / "key.pem"
    key.write_text("secret")
    key.chmod(0o600)
    builder = folder / "nodes" / "peer" / "detect"
    builder.write_text("#!/bin/sh\n")
    builder.chmod(0o755)
    (folder / "nodes" / "peer" / "data" / "blockfile_000000").write_bytes(bytes(range(256)) * 9000)
    (folder / "nodes" / "peer" / "data" / "empty").touch()
    for left_out in ("logs", "run"):
        (folder / left_out).mkdir()
        (folder / left_out / "something").write_text("old")
    yield folder
    down(folder)


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in ("run", "logs")
    }


def test_what_was_kept_comes_back_with_its_modes(root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "kept.tar.gz"
    assert snapshot(root, archive) == 5
    assert archive.stat().st_mode & 0o777 == 0o600
    about = restore(archive, tmp_path / "again")
    assert (about["kind"], about["name"]) == ("snapshot", "dev")
    assert contents(tmp_path / "again") == contents(root)
    assert contents(root)["identities/one/key.pem"] == (b"secret", 0o600)
    assert not (tmp_path / "again" / "logs").exists()
    with pytest.raises(SnapshotError, match="is there already"):
        snapshot(root, archive)
    with pytest.raises(SnapshotError, match="is not empty"):
        restore(archive, tmp_path / "again")
    with pytest.raises(SnapshotError, match="own folder"):
        snapshot(root, root / "kept.tar.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "kept.tar.gz", "net"]


def test_a_running_network_is_refused_or_paused(root: Path, tmp_path: Path) -> None:
    keeper = Keeper.ensure(root)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    keeper.keep([ProcessSpec(name, sleeper) for name in ("a", "b", "c")])
    keeper.stop(["c"])
    before = {state.name: state.pid for state in keeper.states()}
    with pytest.raises(SnapshotError, match="2 processes run"):
        snapshot(root, tmp_path / "kept")
    snapshot(root, tmp_path / "kept", pause=True)
    after = {state.name: (state.state, state.pid) for state in keeper.states()}
    assert {name: state for name, (state, _) in after.items()} == {
        "a": "running",
        "b": "running",
        "c": "stopped",
    }
    assert after["a"][1] != before["a"]
    # Somebody who writes to the stores is not paused, and so refuses; nothing was paused for it, nor for an
    # archive that is there.
    with register(root / "run", "services"), pytest.raises(SnapshotError, match=r"services.*edgeproof run"):
        snapshot(root, tmp_path / "other", pause=True)
    with pytest.raises(SnapshotError, match="is there already"):
        snapshot(root, tmp_path / "kept", pause=True)
    assert {state.name: (state.state, state.pid) for state in keeper.states()} == after


def test_a_cut_or_changed_archive_is_refused_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    archive = tmp_path / "kept"
    snapshot(root, archive)
    whole = archive.read_bytes()
    inside = gzip.decompress(whole)
    changed = inside.replace(b"secret", b"secres")
    assert changed != inside
    for number, bad in enumerate(
        (whole[: len(whole) // 2], whole[:-1], b"", b"something else", gzip.compress(changed), inside)
    ):
        path = tmp_path / f"bad{number}"
        path.write_bytes(bad)
        with pytest.raises(SnapshotError, match="damaged, or no archive"):
            restore(path, tmp_path / "again")
        path.unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "net"]


def test_what_the_disk_refuses_is_told_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    snapshot(root, kept)
    with pytest.raises(SnapshotError, match=r"cannot be restored.*No such file"):
        restore(tmp_path / "missing", tmp_path / "again")
    with pytest.raises(SnapshotError, match=r"cannot be restored.*Is a directory"):
        restore(root, tmp_path / "again")
    with pytest.raises(SnapshotError, match=r"kept/again: .*Not a directory"):
        restore(kept, kept / "again")
    with pytest.raises(SnapshotError, match=r"cannot be written"):
        snapshot(root, kept / "below")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("network.archive.os.fchmod", full)
    monkeypatch.setattr("network.archive.os.fsync", full)
    with pytest.raises(SnapshotError, match=r"cannot be restored.*No space left"):
        restore(kept, tmp_path / "again")
    with pytest.raises(SnapshotError, match=r"cannot be written.*No space left"):
        snapshot(root, tmp_path / "more")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "net"]


def rebuilt(source: Path, target: Path, edit: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    with tarfile.open(source) as archive:
        members = [(m, archive.extractfile(m).read()) for m in archive if archive.extractfile(m)]
    edit(members)
    with tarfile.open(target, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside", "a//b", "./a", "a\nb"])
def test_no_path_leads_out_of_the_folder(root: Path, tmp_path: Path, name: str) -> None:
    snapshot(root, tmp_path / "kept")

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest = json.loads(members[-1][1])
        old = members[1][0].name
        manifest[name] = manifest.pop(old)
        members[1][0].name = name
        members[-1] = (members[-1][0], json.dumps(manifest).encode())

    rebuilt(tmp_path / "kept", tmp_path / "bad", edit)
    with pytest.raises(SnapshotError, match="no path below"):
        restore(tmp_path / "bad", tmp_path / "again")
    assert not (tmp_path / "outside").exists()


def test_links_extra_files_and_missing_files_are_refused(root: Path, tmp_path: Path) -> None:
    snapshot(root, tmp_path / "kept")

    def link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members.insert(1, (member, b""))

    def extra(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members.insert(1, (tarfile.TarInfo("extra"), b"x"))

    def missing(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        del members[1]

    def twice(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members.insert(1, members[1])

    def other_schema(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], b'{"schema": "edgeproof/network-archive/v2"}')

    for number, edit in enumerate((link, extra, missing, twice, other_schema)):
        rebuilt(tmp_path / "kept", tmp_path / f"bad{number}", edit)
        with pytest.raises(SnapshotError, match="damaged, or no archive"):
            restore(tmp_path / f"bad{number}", tmp_path / "again")
        assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["run/peer.json", "run", "logs/peer.log"])
def test_records_of_processes_are_taken_from_no_archive(root: Path, tmp_path: Path, name: str) -> None:
    snapshot(root, tmp_path / "kept")

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        manifest = json.loads(members[-1][1])
        manifest[name] = manifest.pop(members[1][0].name)
        members[1][0].name = name
        members[-1] = (members[-1][0], json.dumps(manifest).encode())

    rebuilt(tmp_path / "kept", tmp_path / "bad", edit)
    with pytest.raises(SnapshotError, match="never in a copy"):
        restore(tmp_path / "bad", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": "a; b"},
        {"name": 1},
        {"created": None},
        {"created": "\x1b[2J"},
        {"kind": None},
        {"kind": "host"},
        {"kind": "host", "host": "\ud800"},
    ],
)
def test_an_archive_that_does_not_say_what_it_is_leaves_nothing(
    root: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    snapshot(root, tmp_path / "kept")

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        about = json.loads(members[0][1]) | change
        said = {key: value for key, value in about.items() if value is not None}
        members[0] = (members[0][0], json.dumps(said).encode())

    rebuilt(tmp_path / "kept", tmp_path / "bad", edit)
    with pytest.raises(SnapshotError, match="does not say its"):
        restore(tmp_path / "bad", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "kept", "net"]


def test_an_archive_nested_too_deep_is_refused(root: Path, tmp_path: Path) -> None:
    snapshot(root, tmp_path / "kept")

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], b"[" * 200_000)

    rebuilt(tmp_path / "kept", tmp_path / "bad", edit)
    with pytest.raises(SnapshotError, match="damaged, or no archive"):
        restore(tmp_path / "bad", tmp_path / "again")


def test_the_folder_may_be_named_in_any_way_but_not_be_where_one_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot(root, tmp_path / "kept")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty" / "below")
    for name in (".", "../below"):
        with pytest.raises(SnapshotError, match=r"is where you are.*--root below"):
            restore(tmp_path / "kept", Path(name))
    (tmp_path / "empty" / "below").rmdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("empty")
    restore(tmp_path / "kept", Path("link/more/.."))
    assert contents(tmp_path / "empty") == contents(root)
    restore(tmp_path / "kept", Path("net/../again"))
    assert contents(tmp_path / "again") == contents(root)
