"""One epoch of a ceremony as a state machine: messages in, commands out. No clock, no socket, no disk.

An epoch is the time in which all parties are connected. When a connection is lost the caller drops the
session, with it the secrets of the batch that was under way, connects anew and starts another session from
the finished batches (`History`). Nothing secret has to survive.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from accumulator.ceremony.errors import CeremonyError, Disagreement, InvalidTranscript, Misbehaviour
from accumulator.ceremony.messages import EVERYBODY, Envelope, Kind, join, split
from accumulator.ceremony.party import Exchange, run_batch
from accumulator.ceremony.public import Outcome, dealt_values
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.sharing import unpack
from accumulator.ceremony.transcript import (
    NO_EPOCH,
    History,
    check_signature,
    epoch_of,
    evidence_reader,
    first_seen,
    make_record,
    next_seen,
    result_body,
)

__all__ = ["Aborted", "BatchFinished", "Command", "Finished", "Progress", "Send", "Session"]

_AHEAD = 4  # messages that an honest party can be ahead of another
_TROUBLE = (Kind.DISPUTE, Kind.ACCUSE)


@dataclass(frozen=True)
class Send:
    """Give these bytes to one party, over a channel that only it can read."""

    to: int
    message: bytes


@dataclass(frozen=True)
class Progress:
    """A round of messages has begun."""

    number: int
    kind: Kind
    candidates: int


@dataclass(frozen=True)
class BatchFinished:
    """A batch is complete: keep its record."""

    record: bytes
    outcome: Outcome


@dataclass(frozen=True)
class Finished:
    """Every party has signed the result."""

    signatures: tuple[bytes, ...]
    """RESULT messages, party 1's first."""
    confirmed: bool
    """Whether every other party has all signatures too."""


@dataclass(frozen=True)
class Aborted:
    """The ceremony cannot go on. A `Misbehaviour` names who deviated."""

    error: CeremonyError


Command = Send | Progress | BatchFinished | Finished | Aborted


class Session:
    """One party's epoch.

    Args:
        me: this party's number, from 1.
        history: the finished batches; new ones are added to it.
        sign: signs bytes with this party's key.
        randomness: bytes from the system's generator.

    Attributes:
        closed: whether it has ended.
        accusation: what a party holds against another and cannot be checked here; empty if nothing.
    """

    def __init__(
        self,
        me: int,
        history: History,
        sign: Callable[[bytes], bytes],
        randomness: Callable[[int], bytes],
    ) -> None:
        self.me = me
        self.settings: Settings = history.settings
        self.history = history
        self._sign = sign
        self._randomness = randomness
        self._others = [party for party in range(1, self.settings.parties + 1) if party != me]
        self._queues: dict[int, deque[Envelope]] = {party: deque() for party in self._others}
        self._epoch, self._number, self._seen = NO_EPOCH, 0, NO_EPOCH
        self._broadcasts: list[Envelope] = []
        self._last: deque[list[Envelope]] = deque(maxlen=2)  # the last rounds of broadcasts, for a dispute
        self._main = self._life()
        self._exchange: Exchange | None = None
        self._own: Envelope | None = None
        self._disputing: set[int] | None = None
        self._out: list[Command] = []
        self.closed = False
        self.accusation = ""

    def start(self) -> list[Command]:
        """Greet everybody."""
        self._guarded(lambda: self._begin(next(self._main)))
        return self._taken()

    def receive(self, sender: int, raw: bytes) -> list[Command]:
        """Take one message that came over the channel of party `sender`."""
        if not self.closed:
            self._guarded(lambda: self._accept(sender, raw))
        return self._taken()

    def close(self) -> None:
        """Drop every secret; nothing more is accepted."""
        self.closed = True
        self._main.close()
        self._queues.clear()

    def waiting_for(self) -> list[int]:
        """Parties whose message of the present round has not come."""
        if self.closed or self._exchange is None:
            return []
        return [party for party in self._exchange.lengths if not self._queues[party]]

    def _taken(self) -> list[Command]:
        out, self._out = self._out, []
        return out

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except CeremonyError as error:
            # What shows a fault to this party alone is shown to all; the rest saw it themselves.
            if isinstance(error, Misbehaviour) and error.evidence and not error.everybody_sees:
                self._post(Kind.ACCUSE, error.evidence)
            self._out.append(Aborted(error))
            self.close()

    def _envelope(self, kind: Kind, index: int, recipient: int, body: bytes) -> Envelope:
        draft = Envelope(
            self.settings.session, self._epoch, self._number, kind, index, self.me, recipient, self._seen,
            hashlib.sha256(body).digest(), b"", body,
        )  # fmt: skip
        return Envelope(**{**draft.__dict__, "signature": self._sign(draft.signed_bytes())})

    def _post(self, kind: Kind, body: bytes) -> None:
        raw = self._envelope(kind, 0, EVERYBODY, body).encode()
        self._out.extend(Send(party, raw) for party in self._others)

    # Rounds

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._out.append(Progress(self._number, exchange.kind, exchange.candidates))
        if exchange.broadcast is not None:
            self._own = self._envelope(exchange.kind, exchange.index, EVERYBODY, exchange.broadcast)
            raw = self._own.encode()
            self._out.extend(Send(party, raw) for party in self._others)
        for party, body in exchange.private.items():
            self._out.append(Send(party, self._envelope(exchange.kind, exchange.index, party, body).encode()))

    def _accept(self, sender: int, raw: bytes) -> None:
        try:
            message = Envelope.decode(raw)
            if message.sender != sender or message.session != self.settings.session:
                raise InvalidTranscript("not its own message of this ceremony")
            check_signature(self.history.verify, message)
        except InvalidTranscript as cause:
            raise Misbehaviour(sender, f"sent what it did not sign: {cause}") from cause
        if message.kind in _TROUBLE:
            self._trouble(message)
            return
        if self._disputing is not None:
            return
        if len(self._queues[sender]) >= _AHEAD:
            raise Misbehaviour(sender, "sends messages without waiting for anybody")
        self._queues[sender].append(message)
        while not self.closed and self._disputing is None and self._exchange is not None:
            if any(not self._queues[party] for party in self._exchange.lengths):
                return
            self._advance(self._exchange)

    def _advance(self, exchange: Exchange) -> None:
        messages = {party: self._queues[party].popleft() for party in exchange.lengths}
        for party, message in messages.items():
            if (message.epoch, message.number, message.seen) != (self._epoch, self._number, self._seen):
                self._dispute()
                return
            self._check(exchange, party, message)
        if exchange.broadcast is not None:
            assert self._own is not None
            messages[self.me] = self._own
            row = [messages[party] for party in range(1, self.settings.parties + 1)]
            self._broadcasts.extend(row)
            self._last.append(row)
            if exchange.kind is not Kind.HELLO:
                self._seen = next_seen(self._seen, row)
        try:
            self._begin(self._main.send(messages))
        except StopIteration:
            self._exchange = None
            self.close()

    def _check(self, exchange: Exchange, party: int, message: Envelope) -> None:
        recipient = EVERYBODY if exchange.broadcast is not None else self.me
        if (message.slot, message.recipient) != ((exchange.kind, exchange.index), recipient):
            raise Misbehaviour(
                party, f"sent {message.kind.name} where {exchange.kind.name} was due", message.encode()
            )
        length = exchange.lengths[party]
        if length is not None and len(message.body or b"") != length:
            raise Misbehaviour(party, f"sent {message.kind.name} of the wrong length", message.encode())

    # The epoch

    def _life(self) -> Generator[Exchange, dict[int, Envelope], None]:
        history, settings = self.history, self.settings
        hello = self._randomness(32) + history.height.to_bytes(4, "big") + history.head
        yield from self._broadcast(Kind.HELLO, hello, 68)
        greetings, self._broadcasts = self._broadcasts, []
        self._epoch = epoch_of(settings, greetings)
        self._seen = first_seen(self._epoch, history.head)
        yield from self._catch_up([message.body or b"" for message in greetings])
        while history.modulus is None:
            self._place()
            batch = run_batch(
                settings,
                self.me,
                self._epoch,
                self._number,
                self._randomness,
                evidence_reader(settings, history.verify, self._epoch, self._number),
            )
            outcome = yield from batch
            record = make_record(greetings, self._broadcasts)
            history.add_checked(record, outcome)
            self._out.append(BatchFinished(record, outcome))
        self._place()
        body = result_body(settings, history.head, history.modulus)
        messages = yield from self._broadcast(Kind.RESULT, body, len(body))
        for party, message in messages.items():
            if message.body != body:
                raise Misbehaviour(party, "signed another result than the transcript gives", message.encode())
        signatures = tuple(message.encode() for message in self._broadcasts)
        self._out.append(Finished(signatures, confirmed=False))
        yield from self._broadcast(Kind.DONE, b"", 0)
        self._out.append(Finished(signatures, confirmed=True))

    def _place(self) -> None:
        self._number = self.history.height
        self._seen = first_seen(self._epoch, self.history.head)
        self._broadcasts = []

    def _broadcast(
        self, kind: Kind, body: bytes, length: int
    ) -> Generator[Exchange, dict[int, Envelope], dict[int, Envelope]]:
        return (yield Exchange(kind, 0, body, {}, dict.fromkeys(self._others, length)))

    def _catch_up(self, hellos: list[bytes]) -> Generator[Exchange, dict[int, Envelope], None]:
        """Bring parties that missed finished batches to the height of the others."""
        heights = [int.from_bytes(body[32:36], "big") for body in hellos]
        top = max(heights)
        heads = {body[36:] for body, height in zip(hellos, heights, strict=True) if height == top}
        if len(heads) > 1:
            raise Disagreement(f"the parties hold different transcripts of {top} batches")
        provider = heights.index(top) + 1
        # Before records pass, every party's history differs: the messages bind the epoch alone.
        self._seen = first_seen(self._epoch, b"")
        for number in range(min(heights), top):
            behind = [party for party, height in enumerate(heights, 1) if height <= number]
            private = dict.fromkeys(behind, self.history.records[number]) if provider == self.me else {}
            lengths: dict[int, int | None] = {provider: None} if self.me in behind else {}
            if not private and not lengths:
                continue
            messages = yield Exchange(Kind.RECORD, number, None, private, lengths)
            if lengths:
                record = messages[provider].body or b""
                try:
                    outcome = self.history.add(record)
                except InvalidTranscript as cause:
                    raise Disagreement(
                        f"party {provider} handed on a batch that does not follow this party's: {cause}"
                    ) from cause
                self._out.append(BatchFinished(record, outcome))
        if self.history.head not in heads:
            raise Disagreement("this party's transcript is not the beginning of the others'")

    # Trouble

    def _trouble(self, message: Envelope) -> None:
        if message.kind is Kind.DISPUTE:
            self._dispute()
            self._compare(message)
        else:
            self._judge(message)

    def _dispute(self) -> None:
        """Show everybody what was broadcast, as this party saw it."""
        if self._disputing is None:
            self._disputing = set()
            self._post(Kind.DISPUTE, join([message.proof() for row in self._last for message in row]))

    def _compare(self, dispute: Envelope) -> None:
        mine = {(m.epoch, m.number, m.slot, m.sender): m for row in self._last for m in row}
        try:
            proofs = [Envelope.decode_proof(raw) for raw in split(dispute.body or b"")]
        except InvalidTranscript as cause:
            raise Misbehaviour(dispute.sender, f"sent a dispute that cannot be read: {cause}") from cause
        for theirs in proofs:
            own = mine.get((theirs.epoch, theirs.number, theirs.slot, theirs.sender))
            # A greeting carries no epoch yet: two of one party may be of two epochs, but the session keeps
            # only those of its own.
            if own is None or theirs.header() == own.header():
                continue
            try:
                check_signature(self.history.verify, theirs)
            except InvalidTranscript as cause:
                raise Misbehaviour(dispute.sender, "brought a forged message into a dispute") from cause
            raise Misbehaviour(
                theirs.sender,
                f"signed two different broadcasts {theirs.kind.name} {theirs.index}: "
                f"{own.proof().hex()} and {theirs.proof().hex()}",
            )
        assert self._disputing is not None
        self._disputing.add(dispute.sender)
        if len(self._disputing) == len(self._others):
            raise Disagreement("the parties' views differ, and no party signed both")

    def _judge(self, accusation: Envelope) -> None:
        accuser = accusation.sender
        try:
            message = check_signature(self.history.verify, Envelope.decode(accusation.body or b""))
        except InvalidTranscript as cause:
            raise Misbehaviour(accuser, "accused another by a message that nobody signed") from cause
        if message.session != self.settings.session:
            raise Misbehaviour(accuser, "accused another by a message of another ceremony")
        if _is_malformed(self.settings, message):
            raise Misbehaviour(message.sender, f"sent a malformed {message.kind.name}")
        # A broadcast can be judged in its round. The accuser goes; if this party does not see the fault
        # itself, the lost connection ends the epoch and the caller tells of the accusation.
        self.accusation = (
            f"party {accuser} holds party {message.sender}'s {message.kind.name} {message.index} against it, "
            "which cannot be checked from here"
        )


def _is_malformed(settings: Settings, message: Envelope) -> bool:
    """Whether a message is wrong by its length or range alone, whatever went before."""
    body = message.body or b""
    if message.kind in (Kind.SIEVE, Kind.PRODUCT):
        try:
            count, width, modulus = dealt_values(settings, message.kind, message.index, message.sender)
        except ValueError:
            return True
        return len(body) != count * width * settings.batch or any(v >= modulus for v in unpack(body, width))
    lengths = {
        Kind.HELLO: 68,
        Kind.COMMIT: 32 * settings.batch,
        Kind.POINTS: settings.field_bytes * settings.batch,
        Kind.PROMISE: 32,
        Kind.DONE: 0,
    }
    return message.kind in lengths and len(body) != lengths[message.kind]
