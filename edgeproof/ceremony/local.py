"""A ceremony among processes of one machine, to try it out: who runs it could read every party's memory."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from edgeproof.ceremony.files import ModulusFile, load_modulus
from edgeproof.ceremony.roster import Roster, default_batch, make_identity, seat_of
from edgeproof.ceremony.runner import MODULUS_FILE
from edgeproof.errors import CeremonyFailed
from identity.files import write_file

__all__ = ["ROSTER_FILE", "make_local", "run_local"]

ROSTER_FILE = "roster.json"
_RESTARTS = 10
_GRACE = 15.0


def make_local(
    out: Path, parties: int | None = None, bits: int | None = None, batch: int | None = None
) -> Roster:
    """Identities and a roster for processes on loopback, below `out`.

    A folder that holds a ceremony keeps it: an interrupted one can be gone on with.

    Args:
        out: folder to make, or one that holds a ceremony.
        parties: how many processes; None for 3, or as many as the folder's ceremony has. So for the others.
        bits: of the modulus; None for 2048.
        batch: candidates a message round; 0 or None for as many as fit the bits.

    Raises:
        CeremonyFailed: the numbers are out of bounds, or the folder's ceremony has others.
    """
    if (out / ROSTER_FILE).exists():
        held = Roster.load(out / ROSTER_FILE)
        wanted_batch = default_batch(held.bits) if batch == 0 else batch
        for what, asked, has in (
            ("parties", parties, len(held.parties)),
            ("bits", bits, held.bits),
            ("candidates a batch", wanted_batch, held.batch),
        ):
            if asked not in (None, has):
                raise CeremonyFailed(
                    f"{out} holds a ceremony with {has} {what}, not {asked}: go on with it without that "
                    "option, or name another folder"
                )
        return held
    parties, bits, batch = parties or 3, bits or 2048, batch or 0
    out.mkdir(parents=True, exist_ok=True)
    seats = [
        seat_of(make_identity(f"party-{number}", out / f"party-{number}" / "identity"), "127.0.0.1", port)
        for number, port in enumerate(_free_ports(parties), 1)
    ]
    roster = Roster.of(seats, bits, secrets.token_bytes(32), batch)
    write_file(out / ROSTER_FILE, roster.encode(), mode=0o644)
    return roster


def party_command(out: Path, number: int, patience: float) -> list[str]:
    """The command line of one local party."""
    folder = out / f"party-{number}"
    return [
        sys.executable, "-m", "edgeproof", "ceremony", "party", str(out / ROSTER_FILE),
        "--identity", str(folder / "identity"), "--out", str(folder),
        "--patience", str(int(patience)), "--with-parent",
    ]  # fmt: skip


def run_local(
    out: Path,
    parties: int,
    patience: float,
    report: Callable[[str], None],
    started: Callable[[Sequence[subprocess.Popen[str]]], None] = lambda _: None,
) -> ModulusFile:
    """Run every party as a process of its own until all have ended; a killed one is started again.

    Args:
        out: made by `make_local`.
        parties: how many.
        patience: seconds that parties wait for each other.
        report: takes party 1's lines.
        started: is given the processes, at the start and after every restart (tests kill them).

    Raises:
        CeremonyFailed: a party failed; with its last line.
    """
    processes: list[subprocess.Popen[str]] = []
    last: dict[int, str] = {}

    def start(number: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            party_command(out, number, patience),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=follow, args=(number, process.stdout), daemon=True).start()
        return process

    def follow(number: int, lines: IO[str] | None) -> None:
        for line in lines or ():
            last[number] = line.rstrip()
            if number == 1 or "anew" in line:
                report(last[number])

    restarts = 0
    try:
        processes.extend(start(number) for number in range(1, parties + 1))
        started(processes)
        while any(process.poll() != 0 for process in processes):
            for at, process in enumerate(processes):
                code = process.poll()
                if code is None or code == 0:
                    continue
                if code > 0 or restarts >= _RESTARTS:  # it ended itself: it has said why
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        for other in processes:
                            other.wait(_GRACE)
                    raise CeremonyFailed(last.get(at + 1, f"party {at + 1} ended with code {code}"))
                restarts += 1
                report(f"party {at + 1} was killed; starting it again")
                processes[at] = start(at + 1)
                started(processes)
            with contextlib.suppress(subprocess.TimeoutExpired):
                next(process for process in processes if process.poll() is None).wait(0.2)
    except StopIteration:
        pass
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()  # a party ends when this closes
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            if process.poll() is None:
                process.kill()
                process.wait()
    return load_modulus(out / "party-1" / MODULUS_FILE)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]
