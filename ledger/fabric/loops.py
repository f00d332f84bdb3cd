"""The event loop behind the sync face: one thread a process, shared by all its gateways.

One and not one a gateway, because gRPC's asyncio part has one poller a process: loops that share it wake each
other in vain.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["LoopThread", "loop_thread"]

T = TypeVar("T")


class LoopThread:
    """A running event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
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


os.register_at_fork(after_in_child=_forget)
