"""What a peer commits, told by one stream: it wakes who waits for a block or a transaction; nothing polls."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any, Final

from ledger.fabric.backoff import Backoff
from ledger.fabric.errors import EventsError, GatewayClosed, GatewayError
from ledger.fabric.gateway import Network
from ledger.fabric.loops import LoopThread
from ledger.fabric.transactions import Status

__all__ = ["Follower"]

_log = logging.getLogger(__name__)
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
        self._stream: _Stream | None = None
        self._expected: dict[str, asyncio.Future[Status]] = {}
        """By transaction id; the loop thread's own."""

    def wait(self, height: int, timeout: float) -> bool:
        """Whether the chain is, or within ``timeout`` seconds becomes, higher than ``height``.

        Raises:
            GatewayError: the stream has ended for good; the next call opens another, unless it was closed.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            stream = self._running()
            while self._height <= height:
                if stream.failure is not None:
                    raise stream.failure
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def expect(self, transaction_id: str) -> asyncio.Future[Status] | None:
        """As ``ledger.fabric.Outcomes.expect``; called on the loop thread."""
        with self._changed:
            stream = self._running()
        if not stream.flows:
            return None
        expected = asyncio.get_running_loop().create_future()
        expected.add_done_callback(lambda _: self._expected.pop(transaction_id, None))
        self._expected[transaction_id] = expected
        return expected

    @property
    def has_seen(self) -> bool:
        """Whether any height was learnt yet."""
        return self._height > 0

    def seen(self, height: int) -> None:
        """Tell it a height that was learnt otherwise."""
        with self._changed:
            if height > self._height:
                self._height = height
                self._changed.notify_all()

    def close(self) -> None:
        """End the stream and wake all that wait."""
        with self._changed:
            stream = self._stream = self._stream or _Stream()
            stream.closed = True
            stream.failure = GatewayClosed("the gateway was closed")
            if stream.task is not None:
                stream.task.cancel()
            self._changed.notify_all()

    def _running(self) -> _Stream:
        """The stream, opened anew where it has ended for good; the lock is held."""
        if self._stream is None or (self._stream.failure is not None and not self._stream.closed):
            self._stream = _Stream()
            self._stream.task = self._loop.start(self._follow(self._stream))
        return self._stream

    async def _follow(self, stream: _Stream) -> None:
        try:
            request = self._network.get_filtered_block_events(start_block="newest", reconnect=_RECONNECT)
            async with request as blocks:
                async for block in blocks:
                    stream.flows = True
                    self.seen(int(block.number) + 1)
                    self._tell(block)
        except GatewayError as error:
            self._fail(stream, error)
        except Exception as error:
            # A key that does not sign, a fault of the client: unsaid, a dead stream would count as alive.
            _log.exception("the stream of blocks failed")
            failure = EventsError(f"the stream of blocks failed: {error}")
            failure.__cause__ = error
            self._fail(stream, failure)
        finally:
            stream.flows = False
            for expected in list(self._expected.values()):
                expected.cancel()

    def _fail(self, stream: _Stream, error: GatewayError) -> None:
        with self._changed:
            stream.failure = stream.failure or error
            self._changed.notify_all()

    def _tell(self, block: Any) -> None:
        for each in block.filtered_transactions:
            expected = self._expected.get(each.txid)
            if expected is not None and not expected.done():
                status = Status(each.txid, int(block.number), int(each.tx_validation_code))
                expected.set_result(status)


class _Stream:
    """One life of the stream: all that wait on it learn of its end."""

    def __init__(self) -> None:
        self.task: Any = None
        self.failure: GatewayError | None = None
        self.closed = False
        self.flows = False
        """Whether a block has come: from then on none is missed, reconnections included."""
