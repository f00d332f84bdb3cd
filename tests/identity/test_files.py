from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from identity import KeyStoreError
from identity.files import make_private_folder, read_file, read_private_key, write_file, write_private_key


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> object:
    """The most careless umask: modes must hold by themselves."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_keys_are_private_even_under_an_open_umask(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "b")
    write_private_key(tmp_path / "a" / "b" / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    assert _mode(tmp_path / "a" / "b") == 0o700
    assert _mode(tmp_path / "a" / "b" / "key.pem") == 0o600


def test_an_open_folder_is_narrowed(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    make_private_folder(tmp_path / "open")
    assert _mode(tmp_path / "open") == 0o700


@pytest.mark.usefixtures("open_umask")
def test_the_key_is_private_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    fsync = os.fsync

    def watch(descriptor: int) -> None:
        information = os.fstat(descriptor)
        if stat.S_ISREG(information.st_mode):
            modes.append(stat.S_IMODE(information.st_mode))
            assert not (tmp_path / "key.pem").exists()  # the name appears only when the content is on disk
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    write_private_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    assert modes == [0o600]


def test_a_failed_write_leaves_the_old_file_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(tmp_path / "f", b"old", mode=0o644)

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyStoreError, match="No space left"):
        write_file(tmp_path / "f", b"new", mode=0o644)
    assert read_file(tmp_path / "f") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_without_replace_exactly_one_of_many_writers_wins(tmp_path: Path) -> None:
    outcomes: list[bytes] = []
    barrier = threading.Barrier(8)

    def write(content: bytes) -> None:
        barrier.wait()
        try:
            write_file(tmp_path / "f", content, mode=0o600, replace=False)
        except KeyStoreError:
            return
        outcomes.append(content)

    threads = [threading.Thread(target=write, args=(bytes((i,)),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [read_file(tmp_path / "f")]
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    write_private_key(path, ec.generate_private_key(ec.SECP256R1()))
    path.chmod(mode)
    with pytest.raises(KeyStoreError, match="0600"):
        read_private_key(path)


def _pem(key: object, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)  # type: ignore[attr-defined]


def test_unusable_keys_are_refused_without_their_content(tmp_path: Path) -> None:
    whole = _pem(ec.generate_private_key(ec.SECP256R1()))
    contents = {
        "empty": b"",
        "garbage": b"\xff\xfe" * 50,
        "torn": whole[: len(whole) // 2],
        "locked": _pem(ec.generate_private_key(ec.SECP256R1()), b"secret"),
        "rsa": _pem(rsa.generate_private_key(65537, 1024)),
        "p384": _pem(ec.generate_private_key(ec.SECP384R1())),
    }
    for name, content in contents.items():
        write_file(tmp_path / name, content, mode=0o600)
        with pytest.raises(KeyStoreError) as caught:
            read_private_key(tmp_path / name)
        told = f"{caught.value!r} {caught.value.__cause__!r}".encode()
        assert not any(line in told for line in content.splitlines()[1:-1] if len(line) > 8)


def test_missing_and_oversized_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError):
        read_private_key(tmp_path / "none")
    with pytest.raises(KeyStoreError):
        read_file(tmp_path)
    with pytest.raises(KeyStoreError):
        write_file(tmp_path / "none" / "f", b"", mode=0o600)
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 9 * 1024 * 1024)
    with pytest.raises(KeyStoreError, match="larger"):
        read_file(tmp_path / "large")
    with pytest.raises(KeyStoreError):
        make_private_folder(tmp_path / "large" / "folder")
