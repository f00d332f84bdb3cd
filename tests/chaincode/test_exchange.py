"""The last request of a transaction: its answer comes once, to whoever delivers it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from fake_peer import Message

from chaincode.errors import ContractError, PeerRefused, StreamLost
from chaincode.peer_state import Exchange

RESPONSE = Message(type=Message.RESPONSE, payload=b"v")
LOST = None


class Ends:
    """What an exchange sent, and how its last request ended."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.ends: list[ContractError | None] = []
        self.exchange = Exchange(self.sent.append, "edge-a", "t1")

    def ask_last(self) -> None:
        self.exchange.ask_last(Message.DEL_STATE, b"", self.ends.append)


def test_an_answer_ends_it_once() -> None:
    one = Ends()
    one.ask_last()
    assert (len(one.sent), one.ends) == (1, [])
    for answer in (RESPONSE, RESPONSE, LOST):
        one.exchange.deliver(answer)
    assert one.ends == [None]


@pytest.mark.parametrize(("answer", "kind"), [(LOST, StreamLost), (Message(type=Message.ERROR), PeerRefused)])
def test_what_is_no_success_is_told(answer: Any, kind: type[ContractError]) -> None:
    one = Ends()
    one.ask_last()
    one.exchange.deliver(answer)
    (failure,) = one.ends
    assert isinstance(failure, kind)


@pytest.mark.parametrize(("answer", "kind"), [(LOST, StreamLost), (RESPONSE, PeerRefused)])
def test_nothing_is_sent_after_an_answer_that_was_not_asked_for(
    answer: Any, kind: type[ContractError]
) -> None:
    one = Ends()
    one.exchange.deliver(answer)
    with pytest.raises(kind):
        one.ask_last()
    assert (one.sent, one.ends) == ([], [])


def test_after_the_stream_is_lost_the_last_request_is_refused_too() -> None:
    one = Ends()
    one.exchange.deliver(LOST)
    with pytest.raises(StreamLost):
        one.exchange.ask(Message.GET_STATE, b"")
    with pytest.raises(StreamLost):
        one.ask_last()


def test_nobody_asks_after_the_last_request() -> None:
    one = Ends()
    one.ask_last()
    with pytest.raises(StreamLost):
        one.exchange.ask(Message.GET_STATE, b"")


def test_what_was_written_is_let_go_without_the_collector() -> None:
    one = Ends()
    one.ask_last()
    gone = weakref.ref(one.exchange)
    one.exchange.deliver(RESPONSE)
    gc.disable()
    try:
        del one.exchange
        assert gone() is None
    finally:
        gc.enable()
