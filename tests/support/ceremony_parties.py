"""A whole ceremony in one process: sessions that hand messages to each other, and editors that tamper."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Iterable

from accumulator.ceremony import (
    Aborted,
    BatchFinished,
    CeremonyError,
    Finished,
    History,
    InvalidTranscript,
    Kind,
    Outcome,
    Send,
    Session,
    Settings,
)
from accumulator.ceremony.messages import Envelope

Editor = Callable[[int, int, bytes], "bytes | None"]
"""(sender, recipient, message) -> the message that arrives, or None: it is lost."""


def key(party: int) -> bytes:
    return b"key of party %d" % party


def sign(party: int) -> Callable[[bytes], bytes]:
    """A fake signature: an HMAC under a key that every test party knows."""
    return lambda message: hmac.digest(key(party), message, "sha256")


def verify(party: int, message: bytes, signature: bytes) -> None:
    if not hmac.compare_digest(sign(party)(message), signature):
        raise InvalidTranscript(f"not signed by party {party}")


def settings(
    bits: int = 128, parties: int = 3, batch: int = 16, rounds: int = 40, name: str = "s"
) -> Settings:
    return Settings(hashlib.sha256(name.encode()).digest(), parties, bits, batch, rounds)


Change = Callable[[Kind, int, int, int, bytes], bytes]
"""(kind, batch, index, recipient, body) -> the body that a deviating party signs and sends in its place."""


class Deviating(Session):
    """A party that signs and sends other bodies than the protocol's, and goes by them itself."""

    change: Change

    def _envelope(self, kind: Kind, index: int, recipient: int, body: bytes) -> Envelope:
        return super()._envelope(
            kind, index, recipient, self.change(kind, self._number, index, recipient, body)
        )


class Table:
    """The parties around one table.

    Attributes:
        histories: by party.
        finished: signatures by party.
        aborted: errors by party.
    """

    def __init__(
        self,
        shape: Settings,
        seed: int,
        histories: dict[int, History] | None = None,
        deviating: tuple[int, Change] | None = None,
    ) -> None:
        self.settings = shape
        self.random = random.Random(seed)
        parties = range(1, shape.parties + 1)
        self.histories = histories or {party: History(shape, verify) for party in parties}
        self.sessions = {
            party: (Deviating if deviating and party == deviating[0] else Session)(
                party, self.histories[party], sign(party), self.random.randbytes
            )
            for party in parties
        }
        if deviating:
            session = self.sessions[deviating[0]]
            assert isinstance(session, Deviating)
            session.change = deviating[1]
        self.finished: dict[int, tuple[bytes, ...]] = {}
        self.aborted: dict[int, CeremonyError] = {}
        self.outcomes: dict[int, list[Outcome]] = {party: [] for party in parties}
        self.wires: dict[tuple[int, int], list[bytes]] = {}
        self.carried = 0

    def run(self, edit: Editor | None = None, stop_after: int | None = None) -> Table:
        """Carry messages, in a random order of the channels, until nothing is under way."""
        for party, session in self.sessions.items():
            self._take(party, session.start(), edit)
        while any(self.wires.values()):
            if stop_after is not None and self.carried >= stop_after:
                break
            channel = self.random.choice(sorted(name for name, queue in self.wires.items() if queue))
            message = self.wires[channel].pop(0)
            self.carried += 1
            self._take(channel[1], self.sessions[channel[1]].receive(channel[0], message), edit)
        return self

    def _take(self, party: int, commands: Iterable[object], edit: Editor | None) -> None:
        for command in commands:
            if isinstance(command, Send):
                message = command.message if edit is None else edit(party, command.to, command.message)
                if message is not None:
                    self.wires.setdefault((party, command.to), []).append(message)
            elif isinstance(command, BatchFinished):
                self.outcomes[party].append(command.outcome)
            elif isinstance(command, Finished):
                self.finished[party] = command.signatures
            elif isinstance(command, Aborted):
                self.aborted[party] = command.error
