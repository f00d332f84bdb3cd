"""How a command speaks with a host's keeper: one line of JSON there, one back, over a socket of its owner's.

The socket lies in ``run/`` (mode 0700). Requests: ``keep`` (start what is missing, replace what is started
differently now), ``outdated`` (which those are), ``forget`` (end, and no longer keep), ``stop``, ``start``,
``states``, ``shutdown``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from network.child import ProcessSpec, ProcessState
from network.errors import KeeperError, ProcessFailed
from network.records import Records

__all__ = ["MAX_REQUEST", "Keeper", "keeper_name", "keeper_socket"]

MAX_REQUEST = 16 * 1024 * 1024
_START_S = 30.0
_HOPELESS_DEATHS = 3


def keeper_name(host: str) -> str:
    """The name of a host's keeper in records, logs and locks."""
    return f"keeper.{host}"


@contextlib.contextmanager
def keeper_socket(run: Path, host: str) -> Iterator[str]:
    """An address of the keeper's socket, short however long the path is.

    A socket's address has room for 107 bytes (unix(7)); one through an open descriptor of the folder always
    fits.
    """
    descriptor = os.open(run, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{keeper_name(host)}.sock"
    finally:
        os.close(descriptor)


class Keeper:
    """A running keeper, seen from a command.

    Attributes:
        root: the network's folder.
        host: the host of the topology whose processes it keeps.
    """

    def __init__(self, root: Path, host: str = "local") -> None:
        self.root = root.absolute()
        self.host = host

    @classmethod
    def find(cls, root: Path, host: str = "local") -> Keeper | None:
        """The host's keeper if one runs and answers."""
        keeper = cls(root, host)
        try:
            keeper.states()
        except KeeperError:
            return None
        return keeper

    @classmethod
    def ensure(cls, root: Path, host: str = "local") -> Keeper:
        """The host's keeper, started if there is none; it outlives this process.

        A new keeper looks after whatever an earlier one left running.

        Raises:
            KeeperError: it does not start.
        """
        keeper = cls.find(root, host)
        if keeper is not None:
            return keeper
        keeper = cls(root, host)
        command = [sys.executable, "-m", "network.keeper", str(keeper.root), "--host", host]
        try:
            started = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KeeperError(f"the keeper of {host} does not start; see {keeper.log}") from error
        if started.returncode != 0:
            said = started.stderr.decode(errors="replace").strip()[-1000:]
            raise KeeperError(f"the keeper of {host} does not start: {said}")
        return keeper

    @property
    def log(self) -> Path:
        """The keeper's own log."""
        return self.root / "logs" / f"{keeper_name(self.host)}.log"

    def keep(self, specs: Sequence[ProcessSpec]) -> None:
        """Have these processes running: those that run just so are left alone, others started or replaced."""
        self._ask({"do": "keep", "specs": _described(specs)}, 60.0)

    def outdated(self, specs: Sequence[ProcessSpec] = ()) -> list[str]:
        """Which of these run otherwise than said here: another command, or files have changed since.

        Of all that are kept, where none are given: those whose files have changed.
        """
        return list(self._ask({"do": "outdated", "specs": _described(specs)}, 30.0)["names"])

    def forget(self, names: Iterable[str], timeout_s: float = 10.0) -> None:
        """End processes and keep them no longer."""
        self._ask({"do": "forget", "names": list(names), "timeout_s": timeout_s}, timeout_s + 30.0)

    def stop(self, names: Iterable[str], timeout_s: float = 10.0) -> None:
        """End processes until ``start`` (or the next ``keep``)."""
        self._ask({"do": "stop", "names": list(names), "timeout_s": timeout_s}, timeout_s + 30.0)

    def start(self, names: Iterable[str]) -> None:
        """Start processes again that were stopped."""
        self._ask({"do": "start", "names": list(names)}, 30.0)

    def restart(self, names: Iterable[str], timeout_s: float = 10.0) -> None:
        """End processes in order and start them again."""
        wanted = list(names)
        self.stop(wanted, timeout_s)
        self.start(wanted)

    def states(self) -> list[ProcessState]:
        """How each process is doing; ``stopped`` is a state too."""
        return [ProcessState(**state) for state in self._ask({"do": "states"}, 30.0)["states"]]

    def check(self, names: Iterable[str] | None = None) -> None:
        """Raise if a process cannot be kept running.

        Raises:
            ProcessFailed: it died young several times in a row; with the end of its log.
        """
        wanted = None if names is None else set(names)
        for state in self.states():
            if (wanted is None or state.name in wanted) and state.young_deaths >= _HOPELESS_DEATHS:
                path = self.root / "logs" / f"{state.name}.log"
                said = path.read_bytes()[-2000:].decode(errors="replace") if path.exists() else ""
                raise ProcessFailed(
                    f"{state.name} keeps ending ({state.last_end}); {path} ends with:\n{said}"
                )

    def shutdown(self, timeout_s: float = 10.0) -> None:
        """End every process and the keeper; those still there after ``timeout_s`` seconds by SIGKILL."""
        record = Records(self.root / "run").read(keeper_name(self.host))
        self._ask({"do": "shutdown", "timeout_s": timeout_s}, timeout_s + 30.0)
        deadline = time.monotonic() + 5.0
        while record is not None and record.process.alive and time.monotonic() < deadline:
            time.sleep(0.01)

    def _ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            with (
                keeper_socket(self.root / "run", self.host) as address,
                socket.socket(socket.AF_UNIX) as connection,
            ):
                connection.settimeout(timeout_s)
                connection.connect(address)
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile("rb") as answers:
                    answer: dict[str, Any] = json.loads(answers.readline(MAX_REQUEST))
        except (OSError, ValueError) as error:
            raise KeeperError(
                f"the keeper of {self.host} in {self.root} does not answer ({error}); `edgeproof network up` "
                "starts one, `edgeproof network status` shows what runs"
            ) from error
        if "error" in answer:
            raise KeeperError(str(answer["error"]))
        return answer


def _described(specs: Sequence[ProcessSpec]) -> list[dict[str, Any]]:
    return [
        {
            "name": spec.name,
            "command": list(spec.command),
            "environment": dict(spec.environment),
            "reads": list(spec.reads),
        }
        for spec in specs
    ]
