"""A lean HTTP load: many keep-alive connections from one thread, requests made beforehand, closed loop.

The client shares the machine's cores with the server that it measures. An ordinary HTTP library would need
more processor time a request than the server's empty handler; this one sends ready bytes, reads an answer up
to its Content-Length, and looks at nothing but its status.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.errors import MeasurementFailed

__all__ = ["Answers", "drive", "request_bytes"]

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)\r\n")
_CHUNK = 1 << 16
_SILENCE_S = 60.0


@dataclass
class Answers:
    """What came of a load."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    cpu_s: float = 0.0
    """Processor time of this process meanwhile."""
    times: list[float] = field(default_factory=list)
    """Of every request, seconds from its sending to the end of its answer."""
    statuses: Counter[int] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def drive(
    address: tuple[str, int], requests: Sequence[bytes], connections: int, *, pause_s: float = 0.0
) -> Answers:
    """Send every request once; each connection sends its next one when its last is answered.

    All connections stand before the first request goes out.

    Args:
        address: of the server.
        requests: whole, see ``request_bytes``.
        connections: how many are open, and so how many requests are under way at once.
        pause_s: before each request, seconds; only with one connection.

    Raises:
        MeasurementFailed: the server closes a connection, or is silent for a minute.
    """
    answers = Answers()
    waiting = iter(requests)
    with selectors.DefaultSelector() as selector:
        opened = [_Connection(address, selector) for _ in range(min(connections, len(requests)))]
        try:
            cpu, started = time.process_time(), time.perf_counter()
            busy = sum(connection.next(waiting, pause_s) for connection in opened)
            while busy:
                events = selector.select(_SILENCE_S)
                if not events:
                    raise MeasurementFailed(f"the server was silent for {_SILENCE_S:.0f} s")
                for key, mask in events:
                    connection: _Connection = key.data
                    if mask & selectors.EVENT_WRITE:
                        connection.write()
                    if mask & selectors.EVENT_READ and connection.read(answers):
                        busy -= not connection.next(waiting, pause_s)
            answers.seconds = time.perf_counter() - started
            answers.cpu_s = time.process_time() - cpu
        finally:
            for connection in opened:
                connection.close()
    return answers


class _Connection:
    """One keep-alive connection and the request that is under way on it."""

    def __init__(self, address: tuple[str, int], selector: selectors.BaseSelector) -> None:
        self._socket = socket.create_connection(address, timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._selector = selector
        self._selector.register(self._socket, selectors.EVENT_READ, self)
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._wanted = 0
        """Bytes of the whole answer, 0 while its head is incomplete."""
        self._sent_at = 0.0

    def next(self, waiting: Iterator[bytes], pause_s: float) -> bool:
        """Send the next request; False when there is none."""
        request = next(waiting, None)
        if request is None:
            return False
        if pause_s:
            time.sleep(pause_s)
        self._received.clear()
        self._wanted = 0
        self._unsent = memoryview(request)
        self._sent_at = time.perf_counter()
        self.write()
        return True

    def write(self) -> None:
        """Send what the socket takes; be called again for the rest."""
        before = len(self._unsent)
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return
        if before and bool(self._unsent) != self._selector_writes():
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
            self._selector.modify(self._socket, events, self)

    def read(self, answers: Answers) -> bool:
        """Take what came; True when the answer is whole."""
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise MeasurementFailed("the server closed a connection")
        self._received += chunk
        if not self._wanted:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return False
            length = _LENGTH.search(self._received, 0, end + 2)
            if length is None:
                raise MeasurementFailed("an answer without Content-Length")
            self._wanted = end + 4 + int(length[1])
        if len(self._received) < self._wanted:
            return False
        answers.times.append(time.perf_counter() - self._sent_at)
        answers.statuses[int(self._received[9:12])] += 1
        answers.bodies.append(bytes(self._received[self._received.find(b"\r\n\r\n") + 4 :]))
        return True

    def close(self) -> None:
        self._selector.unregister(self._socket)
        self._socket.close()

    def _selector_writes(self) -> bool:
        return bool(self._selector.get_key(self._socket).events & selectors.EVENT_WRITE)
