"""The keeper: one detached process a host that keeps the host's part of a network running.

``python -m network.keeper <root> --host NAME`` returns once the keeper takes requests (``network.control``);
``--foreground`` stays, for a service manager. SIGTERM ends the keeper's processes in order, then itself. When
the keeper is killed its processes go on (``network.supervisor`` says why), and the next keeper adopts them.
"""

from __future__ import annotations

import argparse
import json
import logging
import logging.handlers
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from network.child import ProcessSpec, ProcessState
from network.control import MAX_REQUEST, keeper_name, keeper_socket
from network.errors import NetworkError
from network.records import Records, register
from network.supervisor import Supervisor

__all__ = ["main", "serve"]

_log = logging.getLogger(__name__)
_PATIENCE_S = 10.0
# Nothing else: a CORE_ or ORDERER_ variable of whoever called `up` would change what the programs do.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH")


def serve(root: Path, host: str, ready: Callable[[], None]) -> None:
    """Keep a host's processes until told to end.

    Args:
        root: the network's folder.
        host: the host of the topology.
        ready: called when requests are taken.

    Raises:
        ProcessFailed: the host has a keeper already.
    """
    run = root / "run"
    with register(run, keeper_name(host), sys.argv, host=host, kind="keeper"):
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        supervisor = Supervisor(
            root / "logs",
            records=Records(run),
            host=host,
            environment=environment,
            # A full disk or a missing mount passes: what is kept is never given up.
            max_restarts=None,
        )
        _Service(run, host, supervisor).run(ready)


class _Service:
    def __init__(self, run: Path, host: str, supervisor: Supervisor) -> None:
        self._run = run
        self._host = host
        self._supervisor = supervisor
        self._stopped: dict[str, ProcessSpec] = {}
        self._patience: float | None = None
        """Set when everything shall end: seconds until SIGKILL."""

    def run(self, ready: Callable[[], None]) -> None:
        records = Records(self._run)
        for record in records.all("node"):
            if record.host != self._host:
                continue
            if not self._supervisor.adopt(record):
                records.remove(record.name, record.process)  # of another boot, or ended unseen
        selector = selectors.DefaultSelector()
        asleep, awake = socket.socketpair()
        asleep.setblocking(False)
        awake.setblocking(False)
        signal.set_wakeup_fd(awake.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with keeper_socket(self._run, self._host) as address, socket.socket(socket.AF_UNIX) as listener:
            Path(address).unlink(missing_ok=True)
            listener.bind(address)
            Path(address).chmod(0o600)
            listener.listen(32)
            selector.register(listener, selectors.EVENT_READ)
            selector.register(asleep, selectors.EVENT_READ)
            ready()
            _log.info("keeping %s of %s", ", ".join(self._supervisor.names()) or "nothing yet", self._host)
            while self._patience is None:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        connection, _ = listener.accept()
                        with connection:
                            self._serve_one(connection)
                    else:
                        asleep.recv(64)
            # Those who asked for the end were answered; now nobody may ask for anything else.
            Path(address).unlink(missing_ok=True)
        self._supervisor.stop(self._patience)
        _log.info("ended")

    def _on_signal(self, *_: object) -> None:
        if self._patience is None:
            self._patience = _PATIENCE_S

    def _serve_one(self, connection: socket.socket) -> None:
        connection.settimeout(5.0)  # a client that says nothing holds up nobody for long
        try:
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline(MAX_REQUEST))
            answer = self._answer(request)
        except NetworkError as error:
            answer = {"error": str(error)}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            answer = {"error": f"not a request: {error!r}"}
        try:
            connection.sendall(json.dumps(answer).encode() + b"\n")
        except OSError as error:
            _log.info("an answer went nowhere: %s", error)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        supervisor = self._supervisor
        match request["do"]:
            case "keep":
                self._keep(_specs(request))
            case "outdated":
                specs = _specs(request) or [supervisor.spec(name) for name in supervisor.names()]
                return {"names": self._outdated(specs)}
            case "forget":
                for name in request["names"]:
                    self._stopped.pop(name, None)
                supervisor.end(request["names"], float(request["timeout_s"]))
            case "stop":
                known = {
                    name: supervisor.spec(name) for name in self._known(request) if name in supervisor.names()
                }
                try:
                    supervisor.end(known, float(request["timeout_s"]))
                finally:  # one that cannot be ended is kept on; the others are stopped
                    running = supervisor.names()
                    self._stopped |= {name: spec for name, spec in known.items() if name not in running}
            case "start":
                for name in self._known(request):
                    if name in self._stopped:
                        supervisor.start(self._stopped[name])
                        del self._stopped[name]
            case "states":
                stopped = [ProcessState(name, "stopped", None, 0, 0, "") for name in self._stopped]
                return {"states": [vars(state) for state in (*supervisor.states(), *stopped)]}
            case "shutdown":
                self._patience = float(request["timeout_s"])
            case other:
                raise NetworkError(
                    f"this keeper knows no {other!r}, it is of another version: `edgeproof network down`, "
                    "then `up`"
                )
        return {"ok": True}

    def _keep(self, specs: Sequence[ProcessSpec]) -> None:
        try:
            self._supervisor.end(self._outdated(specs), _PATIENCE_S)
        finally:  # one that cannot be ended keeps none of the others from running
            running = self._supervisor.names()
            for spec in specs:
                if spec.name not in running:
                    self._supervisor.start(spec)
                self._stopped.pop(spec.name, None)

    def _outdated(self, specs: Sequence[ProcessSpec]) -> list[str]:
        running = self._supervisor.names()
        return [spec.name for spec in specs if spec.name in running and self._supervisor.differs(spec)]

    def _known(self, request: dict[str, Any]) -> list[str]:
        known = {*self._supervisor.names(), *self._stopped}
        for name in request["names"]:
            if name not in known:
                raise NetworkError(f"nothing is called {name!r} here; there are {', '.join(sorted(known))}")
        return list(request["names"])


def _specs(request: dict[str, Any]) -> list[ProcessSpec]:
    return [ProcessSpec(**spec) for spec in request["specs"]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a keeper in the background and return when it is ready (or be it, with ``--foreground``)."""
    parser = argparse.ArgumentParser(prog="python -m network.keeper", description=main.__doc__)
    parser.add_argument("root", type=Path, help="the network's folder")
    parser.add_argument("--host", default="local", help="host of the topology")
    parser.add_argument("--foreground", action="store_true", help="stay in the foreground")
    chosen = parser.parse_args(arguments)
    root = chosen.root.absolute()
    os.umask(0o077)  # logs and ledgers are their owner's
    if chosen.foreground:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        serve(root, chosen.host, lambda: None)
        return 0
    reading, writing = os.pipe()
    if os.fork() > 0:
        os.close(writing)
        with os.fdopen(reading, "rb") as said:
            problem = said.read()
        if problem != b"ready":
            print(problem.decode(errors="replace") or "it ended without a word", file=sys.stderr)
            return 1
        return 0
    os.close(reading)
    os._exit(_detached(root, chosen.host, writing))


def _detached(root: Path, host: str, writing: int) -> int:
    """The background's half: in a session of its own, with no terminal, its words in its own log."""
    os.setsid()
    telling = [writing]

    def tell(words: bytes) -> None:
        if telling:
            os.write(telling[0], words)
            os.close(telling.pop())

    try:
        log = root / "logs" / f"{keeper_name(host)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(log, maxBytes=2 * 1024 * 1024, backupCount=2)
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[handler]
        )
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        os.chdir("/")
        threading.excepthook = lambda hook: _log.error(
            "a thread failed", exc_info=(hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback)
        )
        serve(root, host, lambda: tell(b"ready"))
    except Exception as error:
        if telling:
            tell(str(error).encode())
        else:
            _log.exception("the keeper failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
