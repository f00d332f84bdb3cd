"""The event loop behind the sync face: one thread a process, shared by all its gateways.

One and not one a gateway, because gRPC's asyncio part has one poller a process: loops that share it wake each
other in vain.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Coroutine
from concurrent import futures
from typing import Any, Final, Protocol, TypeVar

__all__ = ["LoopThread", "loop_thread"]

T = TypeVar("T")

_EXIT_SECONDS: Final = 3.0


class Closeable(Protocol):
    """What has a connection."""

    async def close(self) -> None:
        """Give it up."""


class LoopThread:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._open: weakref.WeakSet[Closeable] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._serve, name="fabric-gateway", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result; an interrupted wait cancels it.

        Raises:
            RuntimeError: called on the loop itself, where waiting would block for ever.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("the sync face cannot be used on its own event loop")
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        """Begin a coroutine and do not wait; the future that it ends with."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def close_at_exit(self, closeable: Closeable) -> None:
        """Have something closed before the interpreter ends, if it is still there then."""
        self._open.add(closeable)

    def end(self) -> None:
        """Close what is open and end the thread: gRPC's own threads would not let the interpreter go."""

        async def close_all() -> None:
            await asyncio.gather(*(each.close() for each in list(self._open)), return_exceptions=True)
            own = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not own]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        with contextlib.suppress(TimeoutError, futures.CancelledError):
            asyncio.run_coroutine_threadsafe(close_all(), self._loop).result(_EXIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_EXIT_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


_lock = threading.Lock()
_running: LoopThread | None = None


def loop_thread() -> LoopThread:
    """The process's loop thread, started when it is first asked for."""
    global _running
    with _lock:
        if _running is None:
            _running = LoopThread()
        return _running


def _forget() -> None:
    global _running, _lock
    # Threads do not survive a fork, and the lock may be held by one that is gone.
    _running, _lock = None, threading.Lock()


def _end() -> None:
    with _lock:
        running = _running
    if running is not None:
        running.end()


atexit.register(_end)
os.register_at_fork(after_in_child=_forget)
