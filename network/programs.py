"""Fabric's own programs: where they are, which version, and how they are run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from network.answers import VERSION, without_usage
from network.errors import CommandFailed, CommandTimedOut, ProgramMissing

__all__ = [
    "INSTALL",
    "NEEDED",
    "OLDEST",
    "Programs",
    "find_program",
    "find_programs",
    "program_version",
    "remedy",
    "run_program",
]

NEEDED: Final = ("peer", "orderer", "configtxgen", "osnadmin")
"""What bringing a network up takes."""

OLDEST: Final = (3, 1)
"""SmartBFT as configured here, and the write batches of chaincode, came with 3.1."""

_VERSION_ARGUMENTS: Final = {"peer": ["version"], "orderer": ["version"], "configtxgen": ["-version"]}
INSTALL: Final = (
    "install Hyperledger Fabric 3.1 or newer as its documentation says, and have its programs on PATH or "
    "name their folder by FABRIC_BIN"
)
_TAIL = 1500


@dataclass(frozen=True)
class Programs:
    """Absolute paths."""

    peer: Path
    orderer: Path
    configtxgen: Path
    osnadmin: Path


def find_program(name: str, fabric_bin: Path | None = None) -> Path | None:
    """A program in ``fabric_bin`` where that is given, else on PATH; None where it is not."""
    found = shutil.which(name, path=None if fabric_bin is None else str(fabric_bin))
    return None if found is None else Path(found).absolute()


def remedy(missing: Sequence[str]) -> str:
    """What to do about programs that are missing where they were looked for."""
    elsewhere = [find_program(name) for name in missing]
    if None in elsewhere:
        return INSTALL
    return f"{', '.join(map(str, elsewhere))} on PATH would be taken without FABRIC_BIN: correct or unset it"


def program_version(name: str, path: Path) -> tuple[int, int, str] | None:
    """(major, minor, rest) as the program says; None for one that does not say (osnadmin)."""
    arguments = _VERSION_ARGUMENTS.get(name)
    if arguments is None:
        return None
    try:
        done = subprocess.run([str(path), *arguments], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(done.stdout + done.stderr)
    if match is None:
        return None
    return int(match[1]), int(match[2]), match[3].decode(errors="replace")


def find_programs(fabric_bin: Path | None = None) -> Programs:
    """Everything that is needed, of a version that will do.

    Raises:
        ProgramMissing: naming all that is missing or too old.
    """
    found = {name: find_program(name, fabric_bin) for name in NEEDED}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        where = f"in {fabric_bin} (FABRIC_BIN)" if fabric_bin else "on PATH"
        raise ProgramMissing(f"not {where}: {', '.join(missing)}; {remedy(missing)}")
    paths = {name: path for name, path in found.items() if path is not None}
    version = program_version("peer", paths["peer"])
    if version is None or version[:2] < OLDEST:
        said = "says no version" if version is None else f"is {version[0]}.{version[1]}.{version[2]}"
        raise ProgramMissing(f"{paths['peer']} {said}; {INSTALL}")
    return Programs(**paths)


def run_program(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> str:
    """Run one of Fabric's tools to its end, in an environment of nothing but what is given.

    Returns:
        What it printed to its standard output.

    Raises:
        CommandFailed: with the end of what it said; it never holds key material.
        CommandTimedOut: it does not end.
    """
    words = [str(word) for word in command]
    # None of the caller's CORE_, ORDERER_ or FABRIC_ variables may change what is rendered here.
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    name = " ".join([Path(words[0]).name, *words[1:4]])
    try:
        done = subprocess.run(
            words, capture_output=True, timeout=timeout_s, check=False, env=clean | dict(environment or {})
        )
    except OSError as error:
        raise ProgramMissing(f"{words[0]} cannot be run: {error.strerror}; {INSTALL}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandTimedOut(f"{name}: no end after {timeout_s:g} s") from error
    if done.returncode != 0:
        said = without_usage((done.stdout + done.stderr).decode(errors="replace"))[-_TAIL:]
        raise CommandFailed(f"{name}: exit {done.returncode}:\n{said}")
    return done.stdout.decode(errors="replace")
