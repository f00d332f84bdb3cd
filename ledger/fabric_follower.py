"""How high a peer's chain is, told by one stream: who waits for a block is woken by it, nothing polls."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

from ledger.fabric.errors import GatewayClosed, GatewayError
from ledger.fabric.events import Backoff
from ledger.fabric.gateway import Network
from ledger.fabric.loops import LoopThread

__all__ = ["Follower"]

_RECONNECT: Final = Backoff(first=0.1, longest=1.0)


class Follower:
    """Follows a channel's filtered blocks on the loop thread, from its first use until it is closed.

    A peer hands a block out after the state it makes is committed (kvledger holds its lock until then), so
    whoever is woken for a height reads that height's state.
    """

    def __init__(self, network: Network, loop: LoopThread) -> None:
        self._network = network
        self._loop = loop
        self._changed = threading.Condition()
        self._height = 0
        self._failure: GatewayError | None = None
        self._task: Any = None

    def wait(self, height: int, timeout: float) -> bool:
        """Whether the chain is, or within ``timeout`` seconds becomes, higher than ``height``.

        Raises:
            GatewayError: the stream has ended for good; the next call opens it again.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._start()
            while self._height <= height:
                if self._failure is not None:
                    failure, self._failure, self._task = self._failure, None, None
                    raise failure
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def seen(self, height: int) -> None:
        """Tell it a height that was learnt otherwise."""
        with self._changed:
            if height > self._height:
                self._height = height
                self._changed.notify_all()

    def close(self) -> None:
        """End the stream and wake all that wait."""
        with self._changed:
            if self._task is not None:
                self._task.cancel()
            self._fail(GatewayClosed("the gateway was closed"))

    def _start(self) -> None:
        if self._task is None:
            self._task = self._loop.start(self._follow())

    async def _follow(self) -> None:
        try:
            request = self._network.get_filtered_block_events(start_block="newest", reconnect=_RECONNECT)
            async with request as blocks:
                async for block in blocks:
                    self.seen(int(block.number) + 1)
        except GatewayError as error:
            with self._changed:
                self._fail(error)

    def _fail(self, error: GatewayError) -> None:
        self._failure = error
        self._changed.notify_all()
