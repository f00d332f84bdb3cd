"""Speaking to orderers: what comes of answers that do not come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fabric_protos.common import common_pb2

from identity import DevelopmentAuthority, Role
from network.errors import NotReady
from network.updates import _Orderer


class EndedStreams:
    """A connection to an orderer that takes every stream and ends it without a word."""

    def stream_stream(self, *_: object, **__: object) -> Callable[..., Iterator[Any]]:
        return lambda *_, **__: iter(())


def test_a_stream_that_ends_without_an_answer_may_be_tried_again(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    signer = DevelopmentAuthority.create("org1", tmp_path / "ca", now=now).issue("a", Role.ADMIN, now=now)
    orderer = _Orderer(EndedStreams(), "main", signer, b"h" * 32)
    with pytest.raises(NotReady, match="main: an orderer ended the stream without an answer"):
        orderer.broadcast(common_pb2.Envelope())
    with pytest.raises(NotReady, match="main: an orderer ended the stream without a block"):
        orderer.configuration()
