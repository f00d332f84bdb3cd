"""One party's part in a batch: what it deals and broadcasts while `public_batch` keeps the rules."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accumulator.ceremony.candidates import Candidate, commitment
from accumulator.ceremony.errors import Misbehaviour
from accumulator.ceremony.messages import Envelope, Kind
from accumulator.ceremony.public import Outcome, Want, dealt_values, is_belied, promise, public_batch
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.sharing import pack, unpack

__all__ = ["Exchange", "run_batch"]


@dataclass(frozen=True)
class Exchange:
    """One round of messages: what this party sends, and what it waits for."""

    kind: Kind
    index: int
    broadcast: bytes | None
    """The body for everybody, or None for a round of private messages."""
    private: Mapping[int, bytes]
    """Bodies by recipient."""
    lengths: Mapping[int, int | None]
    """By sender: the exact length of its body; None where it varies. Who is not named sends nothing."""
    candidates: int = 0
    """For progress: how many candidates the round is about."""


Batch = Generator[Exchange, dict[int, Envelope], Outcome]


class _Run:
    """The secrets of one batch and the messages of shares received in it."""

    def __init__(
        self, settings: Settings, me: int, epoch: bytes, number: int, randomness: Callable[[int], bytes]
    ) -> None:
        self.settings = settings
        self.me = me
        self.place = (epoch, number)
        self.randomness = randomness
        self.candidates = [Candidate(settings, me, randomness(32)) for _ in range(settings.batch)]
        self.received: list[Envelope] = []
        self.promised = b""

    def forget(self) -> None:
        for candidate in self.candidates:
            candidate.forget()
        self.received.clear()
        self.promised = b""

    def exchange_shares(
        self, kind: Kind, index: int, rows: Sequence[Sequence[Sequence[Any]]], n: Any = None
    ) -> Generator[Exchange, dict[int, Envelope], list[list[Sequence[Any]]]]:
        """Deal to everybody; return by candidate the shares from party 1, 2, …

        Args:
            kind, index: the round.
            rows: by candidate, then by recipient, the values.
            n: the modulus of a gcd test.
        """
        settings, me = self.settings, self.me
        others = [party for party in range(1, settings.parties + 1) if party != me]
        width = dealt_values(settings, kind, index, me, n)[1]
        private = {j: b"".join(pack(row[j - 1], width) for row in rows) for j in others}
        lengths: dict[int, int | None] = {}
        for sender in others:
            count, _, _ = dealt_values(settings, kind, index, sender, n)
            lengths[sender] = count * width * len(rows)
        messages = yield Exchange(kind, index, None, private, lengths, len(rows))
        table: list[list[Sequence[Any]]] = [[] for _ in rows]
        for sender in range(1, settings.parties + 1):
            if sender == me:
                for at, row in enumerate(rows):
                    table[at].append(row[me - 1])
                continue
            count, _, modulus = dealt_values(settings, kind, index, sender, n)
            body = messages[sender].body
            assert body is not None
            values = unpack(body, width)
            if not all(value < modulus for value in values):
                raise Misbehaviour(sender, "sent a share outside its ring", messages[sender].encode())
            for at in range(len(rows)):
                table[at].append(values[at * count : (at + 1) * count])
            if (
                kind is not Kind.GCD
            ):  # a candidate whose gcd failed is opened, but its gcd shares are not judged
                self.received.append(messages[sender])
        return table

    def sieve_and_multiply(self) -> Generator[Exchange, dict[int, Envelope], bytes]:
        """The private rounds before the points; returns the body of the points."""
        settings = self.settings
        for sieve_round in range(1, settings.parties):
            rows = [candidate.deal_sieve(sieve_round) for candidate in self.candidates]
            table = yield from self.exchange_shares(Kind.SIEVE, sieve_round - 1, rows)
            for candidate, shares in zip(self.candidates, table, strict=True):
                candidate.take_sieve(sieve_round, shares)
        rows = [candidate.deal_product() for candidate in self.candidates]
        table = yield from self.exchange_shares(Kind.PRODUCT, 0, rows)
        points = [
            candidate.take_product(shares) for candidate, shares in zip(self.candidates, table, strict=True)
        ]
        return pack(points, settings.field_bytes)

    def body(self, want: Want) -> Generator[Exchange, dict[int, Envelope], bytes]:
        """This party's broadcast, after the private rounds that lead to it."""
        settings = self.settings
        if want.kind is Kind.COMMIT:
            return b"".join(
                commitment(settings, *self.place, self.me, c, candidate.seed)
                for c, candidate in enumerate(self.candidates)
            )
        if want.kind is Kind.POINTS:
            return (yield from self.sieve_and_multiply())
        if want.kind is Kind.PROMISE:
            values = [
                power
                for c, over in zip(want.candidates, want.bases, strict=True)
                for power in self.candidates[c].powers(want.numbers[c], over)
            ]
            self.promised = self.randomness(32) + pack(values, settings.number_bytes)
            return promise(*self.place, self.me, want.index, self.promised)
        if want.kind is Kind.POWERS:
            return self.promised
        if want.kind is Kind.GCD_POINT:
            (c,) = want.candidates
            n = want.numbers[c]
            table = yield from self.exchange_shares(Kind.GCD, want.index, [self.candidates[c].deal_gcd(n)], n)
            return pack([self.candidates[c].take_gcd(n, table[0])], settings.number_bytes)
        if want.kind is Kind.OPEN:
            return b"".join(self.candidates[c].seed for c in want.candidates)
        assert want.kind is Kind.VERDICT
        for message in self.received:
            if is_belied(settings, want.traces, message):
                return message.encode()  # the earliest: the list is in the order of the rounds
        return b""


def run_batch(
    settings: Settings,
    me: int,
    epoch: bytes,
    number: int,
    randomness: Callable[[int], bytes],
    read_evidence: Callable[[bytes], Envelope],
) -> Batch:
    """One batch as one party lives through it. Its secrets are dropped when the generator ends or is closed.

    Args:
        settings: the ceremony's.
        me: this party's number, from 1.
        epoch, number: the batch's place.
        randomness: bytes from the system's generator.
        read_evidence: as in `public_batch`.

    Yields:
        Rounds of messages; send back the messages by sender, of a broadcast this party's own too.
    """
    run = _Run(settings, me, epoch, number, randomness)
    public = public_batch(settings, epoch, number, read_evidence)
    others = [party for party in range(1, settings.parties + 1) if party != me]
    try:
        want = next(public)
        while True:
            own = yield from run.body(want)
            lengths = dict.fromkeys(others, want.length)
            about = len(want.candidates) or settings.batch
            messages = yield Exchange(want.kind, want.index, own, {}, lengths, about)
            bodies = [messages[i].body or b"" for i in range(1, settings.parties + 1)]
            try:
                want = public.send(bodies)
            except StopIteration as stop:
                outcome: Outcome = stop.value
                return outcome
    finally:
        run.forget()
        public.close()
