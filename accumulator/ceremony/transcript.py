"""The transcript: every broadcast of every finished batch, and the rules by which anybody checks it offline.

A batch's record is the parties' greetings of its epoch and then each round's broadcasts, party 1's first. The
records form a hash chain whose head every party signs together with N.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from accumulator._hashing import tagged_hash
from accumulator.ceremony.errors import InvalidTranscript, Misbehaviour
from accumulator.ceremony.messages import EVERYBODY, Envelope, Kind, join, split
from accumulator.ceremony.public import Outcome, public_batch
from accumulator.ceremony.settings import Settings

__all__ = ["History", "Verify", "check_result", "epoch_of", "evidence_reader", "next_seen", "result_body"]

Verify = Callable[[int, bytes, bytes], None]
"""verify(party, message, signature) raises `InvalidTranscript` where the party did not sign the message."""

NO_EPOCH = bytes(32)
_HEAD_TAG = "edgeproof/ceremony/head/v1"
_EPOCH_TAG = "edgeproof/ceremony/epoch/v1"
_SEEN_TAG = "edgeproof/ceremony/seen/v1"


def epoch_of(settings: Settings, greetings: Iterable[Envelope]) -> bytes:
    """The epoch's name: a digest of all greetings, each of which holds a fresh nonce."""
    return tagged_hash(_EPOCH_TAG, settings.session, *[greeting.hash() for greeting in greetings])


def first_seen(epoch: bytes, head: bytes) -> bytes:
    """What a batch's first broadcast has seen: the history before it."""
    return tagged_hash(_SEEN_TAG, epoch, head)


def next_seen(seen: bytes, broadcasts: Iterable[Envelope]) -> bytes:
    """What has been seen after one more round of broadcasts."""
    return tagged_hash(_SEEN_TAG, seen, *[message.hash() for message in broadcasts])


def check_signature(verify: Verify, message: Envelope) -> Envelope:
    """Check a message's signature under its sender's key.

    Raises:
        InvalidTranscript: it does not hold.
    """
    verify(message.sender, message.signed_bytes(), message.signature)
    return message


def evidence_reader(
    settings: Settings, verify: Verify, epoch: bytes, number: int
) -> Callable[[bytes], Envelope]:
    """Reads messages that were sent in one batch; see `public_batch`."""

    def read(raw: bytes) -> Envelope:
        message = check_signature(verify, Envelope.decode(raw))
        if (message.session, message.epoch, message.number) != (settings.session, epoch, number):
            raise InvalidTranscript("evidence from another batch")
        return message

    return read


@dataclass(frozen=True)
class _Place:
    settings: Settings
    verify: Verify
    epoch: bytes
    number: int

    def check(self, message: Envelope, sender: int, kind: Kind, index: int, seen: bytes) -> Envelope:
        ought = (self.settings.session, self.epoch, self.number, kind, index, sender, EVERYBODY, seen)
        found = (
            message.session, message.epoch, message.number, message.kind, message.index,
            message.sender, message.recipient, message.seen,
        )  # fmt: skip
        if found != ought:
            raise InvalidTranscript(
                f"batch {self.number}: not party {sender}'s {kind.name} {index} over the messages before it"
            )
        return check_signature(self.verify, message)


class History:
    """A ceremony's finished batches, each checked when it was added.

    Attributes:
        settings: the ceremony's.
        records: one byte string a batch.
        outcomes: one a batch.
        head: digest of all of it, 32 bytes.
    """

    def __init__(self, settings: Settings, verify: Verify) -> None:
        self.settings = settings
        self.verify = verify
        self.records: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.head = tagged_hash(_HEAD_TAG, settings.session)

    @property
    def height(self) -> int:
        """Number of finished batches."""
        return len(self.records)

    @property
    def modulus(self) -> int | None:
        """The accepted N, once there is one."""
        return self.outcomes[-1].modulus if self.outcomes else None

    def add(self, record: bytes) -> Outcome:
        """Check a batch that follows and add it. Cost: as all parties' arithmetic on shares together.

        Raises:
            InvalidTranscript: the record does not hold.
        """
        try:
            outcome = self._replay(record)
        except Misbehaviour as cause:
            raise InvalidTranscript(f"batch {self.height}: {cause}") from cause
        self.add_checked(record, outcome)
        return outcome

    def add_checked(self, record: bytes, outcome: Outcome) -> None:
        """Add a batch that this process has just lived through, message by message."""
        self.records.append(record)
        self.outcomes.append(outcome)
        self.head = tagged_hash(_HEAD_TAG, self.head, record)

    def _replay(self, record: bytes) -> Outcome:
        settings, number = self.settings, self.height
        if self.modulus is not None:
            raise InvalidTranscript("a batch after the one whose candidate was accepted")
        messages = iter([Envelope.decode(part) for part in split(record)])
        greetings = self._take(messages, _Place(settings, self.verify, NO_EPOCH, 0), Kind.HELLO, 0, NO_EPOCH)
        epoch = epoch_of(settings, greetings)
        place = _Place(settings, self.verify, epoch, number)
        seen = first_seen(epoch, self.head)
        batch = public_batch(settings, epoch, number, evidence_reader(settings, self.verify, epoch, number))
        want = next(batch)
        while True:
            broadcasts = self._take(messages, place, want.kind, want.index, seen)
            bodies = [message.body or b"" for message in broadcasts]
            if want.length is not None and any(len(body) != want.length for body in bodies):
                raise InvalidTranscript(f"batch {number}: a body of {want.kind.name} of the wrong length")
            seen = next_seen(seen, broadcasts)
            try:
                want = batch.send(bodies)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                break
        if next(messages, None) is not None:
            raise InvalidTranscript(f"batch {number}: a message too many")
        return outcome

    def _take(
        self, messages: Iterable[Envelope], place: _Place, kind: Kind, index: int, seen: bytes
    ) -> list[Envelope]:
        taken = []
        for sender in range(1, self.settings.parties + 1):
            message = next(iter(messages), None)
            if message is None:
                raise InvalidTranscript(f"batch {place.number} ends before its {kind.name} {index}")
            taken.append(place.check(message, sender, kind, index, seen))
        return taken


def result_body(settings: Settings, head: bytes, modulus: int) -> bytes:
    """What every party signs in the end: the transcript's digest and N."""
    return head + modulus.to_bytes(settings.number_bytes, "big")


def check_result(settings: Settings, verify: Verify, signatures: Sequence[bytes]) -> tuple[bytes, int]:
    """The digest and N that every party signed, from the parties' RESULT messages in their order.

    Raises:
        InvalidTranscript: a signature is missing or does not hold, or the parties signed different results.
    """
    messages = [Envelope.decode(raw) for raw in signatures]
    if [message.sender for message in messages] != list(range(1, settings.parties + 1)):
        raise InvalidTranscript("the result is not signed by every party, each once and in order")
    for message in messages:
        if message.kind is not Kind.RESULT or message.session != settings.session:
            raise InvalidTranscript("a signature that is not under this ceremony's result")
        check_signature(verify, message)
    bodies = {message.body for message in messages}
    (body, *others) = bodies
    if others or body is None or len(body) != 32 + settings.number_bytes:
        raise InvalidTranscript("the parties signed different results")
    return body[:32], int.from_bytes(body[32:], "big")


def make_record(greetings: Sequence[Envelope], broadcasts: Sequence[Envelope]) -> bytes:
    """A batch's record."""
    return join([message.encode() for message in (*greetings, *broadcasts)])
