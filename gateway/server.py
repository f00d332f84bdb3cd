"""Serving the gateway by gunicorn: one worker process, many threads.

One worker, because group commit gathers what arrives in one process, and because the counters of ``/metrics``
are then whole. The parts are made in the worker, after the fork: no SQLite or gRPC handle crosses one.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import http.client
import json
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from flask import Response
from flask_openapi.openapi import OpenAPI
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import ThreadWorker

from gateway.app import create_app, runtime_of
from gateway.connections import Connection, Patience, SlowRequest
from gateway.problems import MEDIA_TYPE, Problem
from gateway.services import Services
from gateway.web import problem_response

__all__ = ["serve"]

_ALLOCATIONS: Final = 20_000
"""Objects made, less those freed, between two collections; Python's own 700 is met by every few requests."""


class _Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn carries no types
    """Answers what is not even HTTP with a problem document too (gunicorn would send a page of HTML).

    And leaves when its master was killed: gunicorn's own would keep the port, and every connection whose
    client goes on sending, until its grace is over; the next master gives up before that.

    And lets no peer hold all its threads: a request has to arrive in time (``gateway.connections``), and one
    address has at most three quarters of the threads; what it sends beyond that waits for its own others.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._share = max(1, self.cfg.threads * 3 // 4)
        self._busy: Counter[str] = Counter()
        """Requests under way by the peer's host. This and the next are the event loop's own."""
        self._held: dict[str, deque[Connection]] = {}
        """Connections with something to read, whose host has its share of threads."""

    def accept(self, listener: Any) -> None:
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                raise
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, client, address, listener.getsockname(), self.app.patience)
        self.enqueue_req(connection)

    def enqueue_req(self, conn: Connection) -> None:
        if self._busy[conn.peer] >= self._share:
            self._held.setdefault(conn.peer, deque()).append(conn)
            return
        self._busy[conn.peer] += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        self._busy[conn.peer] -= 1
        if not self._busy[conn.peer]:
            del self._busy[conn.peer]
        if (held := self._held.get(conn.peer)) is not None:
            self.enqueue_req(held.popleft())
            if not held:
                del self._held[conn.peer]
        super().finish_request(conn, fs)

    def handle_request(self, req: Any, conn: Connection) -> Any:
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
            # The time for writing is over: what gunicorn knows as a client that left.
            raise ConnectionResetError(errno.ECONNRESET, "the answer is not taken") from None

    def handle(self, conn: Connection) -> Any:
        result = super().handle(conn)
        if result is False:
            conn.linger()
        return result

    def is_parent_alive(self) -> bool:
        if super().is_parent_alive():
            return True
        self.alive = False  # answers from here on say "Connection: close"
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        problem = _unreadable(exc)
        status = problem.status
        body = (json.dumps(problem.to_json()) + "\n").encode()
        head = (
            f"HTTP/1.1 {status} {http.client.responses[status]}\r\nConnection: close\r\n"
            f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        # The peer may be gone, or may never have meant to read: that is no fault of ours.
        with contextlib.suppress(OSError):
            util.write_nonblock(client, head.encode("ascii") + body)


def _unreadable(error: ParseException) -> Problem:
    """What a request that is not HTTP, or not in time, is to the client."""
    if isinstance(error, SlowRequest):
        return Problem("request-timeout", str(error))
    status = {LimitRequestLine: 414, LimitRequestHeaders: 431}.get(type(error), 400)
    return Problem("bad-request", f"not an HTTP request: {error}"[:200], status=status)


def _refuse_body(error: ParseException) -> Response:
    # Raised while a view reads. gunicorn closes the connection: where the next request begins is not known.
    return problem_response(_unreadable(error))


class _Application(BaseApplication):  # type: ignore[misc]  # gunicorn carries no types
    def __init__(
        self,
        factory: Callable[[], Services],
        settings: dict[str, Any],
        close: Callable[[Services], None],
        patience: Patience,
    ) -> None:
        self.patience = patience
        self._factory = factory
        self._settings = settings
        self._close = close
        self._running: tuple[Services, OpenAPI] | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)
        self.cfg.set("worker_exit", self._worker_exit)

    def load(self) -> OpenAPI:
        services = self._factory()
        app = create_app(services)
        app.register_error_handler(ParseException, _refuse_body)
        self._running = (services, app)
        # What is here stays: collections look only at what requests make, and that is seldom a cycle.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_ALLOCATIONS)
        return app

    def _worker_exit(self, _server: Any, _worker: Any) -> None:
        # The worker has answered its requests (or its grace is over): what still waits is committed now.
        if self._running is not None:
            services, app = self._running
            runtime_of(app).close()
            self._close(services)


def serve(
    factory: Callable[[], Services],
    bind: str,
    *,
    close: Callable[[Services], None] = lambda services: None,
    announce: Callable[[str, int], None] = lambda host, port: None,
    threads: int = 256,
    grace: int = 30,
    certificate: str | None = None,
    key: str | None = None,
    patience: Patience | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, drain the queue, and return by exit.

    Args:
        factory: makes the services, in the worker process.
        bind: ``host:port``; port 0 takes a free one.
        close: gives the services back, in the worker process.
        announce: told host and port once the socket listens, in the calling process.
        threads: requests served at once; each waiting reading holds one.
        grace: seconds for requests under way after SIGTERM.
        certificate: PEM file, for TLS.
        key: PEM file, for TLS.
        patience: how long a request may take to arrive.
    """

    def ready(server: Any) -> None:
        host, port = server.LISTENERS[0].sock.getsockname()[:2]
        announce(str(host), int(port))

    settings: dict[str, Any] = {
        "bind": bind,
        "workers": 1,
        "worker_class": _Worker,
        "threads": threads,
        "worker_connections": 4 * threads,
        "preload_app": False,
        "graceful_timeout": grace,
        "timeout": 120,
        "keepalive": 30,
        "backlog": 1024,
        "accesslog": None,
        "loglevel": "warning",
        "proc_name": "edgeproof-gateway",
        "when_ready": ready,
        "certfile": certificate,
        "keyfile": key,
    }
    _Application(factory, settings, close, patience or Patience()).run()
