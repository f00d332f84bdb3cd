"""Connections that cannot hold a thread for longer than a request may take to arrive.

gunicorn reads a request in the thread that answers it, from a socket that blocks for ever, and closes what it
refused in its one event loop, waiting there for the peer to leave. Either lets a few hundred peers that send
two bytes each, or take nothing of their answers, stop everybody. Here reading has an end, and so have writing
and closing, in the thread that read.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import SO_SNDTIMEO, SOL_SOCKET
from typing import Any, Final

from gunicorn import sock as gunicorn_sock
from gunicorn import util
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn

__all__ = ["Connection", "Patience", "SlowRequest"]

_LINGER_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Patience:
    """How long the gateway waits for a request, in seconds."""

    silence: float = 10.0
    """Between two bytes, of the request as of its answer."""
    whole: float = 20.0
    """From the first byte of the request's head to the last of its body."""


class SlowRequest(ParseException):  # type: ignore[misc]  # gunicorn carries no types
    """The request did not arrive in time.

    Not an ``OSError``: the framework would take one for a client that left.
    """


class _PatientUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn carries no types
    """Reads from a socket until the time of the request under way is over."""

    def __init__(self, socket: Any, patience: Patience, monotonic: Callable[[], float]) -> None:
        super().__init__(socket)
        self._patience = patience
        self._monotonic = monotonic
        self.begin()

    def begin(self) -> None:
        """The time of the next request begins."""
        self._deadline = self._monotonic() + self._patience.whole

    def chunk(self, size_hint: int | None = None) -> bytes:
        if self.sock.gettimeout() is not None:
            # The caller has set a time of its own: gunicorn, draining what a view left unread.
            data: bytes = super().chunk(size_hint)
            return data
        left = self._deadline - self._monotonic()
        if left <= 0:
            raise SlowRequest(f"the request took longer than {self._patience.whole:g} s to arrive")
        self.sock.settimeout(min(left, self._patience.silence))
        try:
            data = super().chunk(size_hint)
        except TimeoutError:
            raise SlowRequest(
                f"the request stopped for {self._patience.silence:g} s"
                if left > self._patience.silence
                else f"the request took longer than {self._patience.whole:g} s to arrive"
            ) from None
        finally:
            self.sock.settimeout(None)
        return data


class Connection(TConn):  # type: ignore[misc]  # gunicorn carries no types
    """A client's connection.

    Args:
        cfg: gunicorn's settings.
        socket: the accepted socket.
        client: address of the peer.
        server: address of the listener.
        patience: how long a request may take.
        monotonic: seconds.
    """

    initialized: bool
    parser: Any
    sock: Any

    def __init__(
        self,
        cfg: Any,
        socket: Any,
        client: Any,
        server: Any,
        patience: Patience,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(cfg, socket, client, server)
        self._patience = patience
        self._monotonic = monotonic

    @property
    def peer(self) -> str:
        """The peer's host, or "" on a socket without one."""
        return str(self.client[0]) if isinstance(self.client, tuple) else ""

    def init(self) -> None:
        """Called before every request: shake hands at first (TLS), and start the request's time."""
        if self.initialized:
            self.parser.unreader.begin()
            return
        self.initialized = True
        if self.cfg.is_ssl:
            self.sock.settimeout(self._patience.silence)
            self.sock = gunicorn_sock.ssl_wrap_socket(self.sock, self.cfg)
            try:
                self.sock.do_handshake()
            except TimeoutError:
                raise SlowRequest("the TLS handshake took too long") from None
        self.sock.settimeout(None)
        # For writing alone, and by the kernel: reading has its own end, and the socket stays one that blocks.
        seconds, rest = divmod(self._patience.silence, 1)
        self.sock.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("@ll", int(seconds), int(rest * 1e6)))
        self.parser = RequestParser(self.cfg, self.sock, self.client)
        self.parser.unreader = _PatientUnreader(self.sock, self._patience, self._monotonic)

    def linger(self) -> None:
        """Close so that the peer can still read its answer; waits for it, so not to be called in the loop."""
        util.close_graceful(self.sock, timeout=_LINGER_SECONDS)

    def close(self, graceful: bool = False) -> None:
        """Close at once: this is called in the event loop, and ``linger`` came before when there was need."""
        util.close(self.sock)
