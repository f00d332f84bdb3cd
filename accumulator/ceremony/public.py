"""The part of a batch that everybody sees, and every rule about it. No secret, no message of one's own.

`public_batch` is a generator: it says which broadcast it wants next, is sent all parties' bodies, and returns
how the batch ended. The parties run it while the ceremony goes on, an auditor runs it over the transcript.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gmpy2

from accumulator._hashing import tagged_hash
from accumulator.ceremony.biprimality import agree, bases, coprime, without_small_factors
from accumulator.ceremony.candidates import Trace, commitment, simulate, values_dealt
from accumulator.ceremony.errors import InvalidTranscript, Misbehaviour
from accumulator.ceremony.messages import Envelope, Kind
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.sharing import lagrange, pack, unpack

__all__ = ["Outcome", "Want", "dealt_bytes", "dealt_values", "promise", "public_batch"]

_PROMISE_TAG = "edgeproof/ceremony/promise/v1"
_PROMISE_NONCE = 32


@dataclass(frozen=True)
class Want:
    """The next broadcast: what it is about, and how long each body is."""

    kind: Kind
    index: int
    length: int | None
    """None for a verdict, which is empty or one message."""
    candidates: tuple[int, ...] = ()
    """POWERS and PROMISE: which candidates; GCD_POINT: the one; OPEN: those that are opened."""
    bases: tuple[tuple[Any, ...], ...] = ()
    """POWERS and PROMISE: the bases for each candidate."""
    numbers: tuple[Any, ...] = ()
    """From POWERS on: every candidate's N."""
    traces: dict[int, Trace] = field(default_factory=dict)
    """VERDICT: every opened candidate as it ought to have been."""


@dataclass(frozen=True)
class Outcome:
    """How a batch ended."""

    candidates: int
    tested: int
    """How many survived trial division."""
    accepted: int | None
    """Position of the accepted candidate."""
    modulus: int | None
    """Its N."""


def promise(epoch: bytes, number: int, party: int, index: int, body: bytes) -> bytes:
    """The commitment to a POWERS body: nobody can fit its powers to the others'."""
    place = b"".join(value.to_bytes(4, "big") for value in (number, party, index))
    return tagged_hash(_PROMISE_TAG, epoch, place, body)


def public_batch(
    settings: Settings, epoch: bytes, number: int, read_evidence: Callable[[bytes], Envelope]
) -> Generator[Want, list[bytes], Outcome]:
    """One batch as everybody sees it.

    Args:
        settings: the ceremony's.
        epoch: the epoch's name.
        number: the batch's.
        read_evidence: reads a message of this batch and epoch and checks its signature, or raises
            `InvalidTranscript`.

    Yields:
        What is wanted next; send the bodies, party 1's first, each of the length that was wanted.

    Raises:
        Misbehaviour: a party deviated.
    """
    size = settings.batch
    commitments = yield Want(Kind.COMMIT, 0, 32 * size)
    points = [
        _values(body, settings.field_bytes, settings.field, party, "a point outside the field")
        for party, body in enumerate((yield Want(Kind.POINTS, 0, settings.field_bytes * size)), 1)
    ]
    weights = lagrange(settings.parties, settings.field)
    numbers = tuple(
        sum(weight * row[c] for weight, row in zip(weights, points, strict=True)) % settings.field
        for c in range(size)
    )
    # An N of another shape was not made by the protocol: the openings tell by whom.
    shaped = [c for c in range(size) if _well_shaped(settings, numbers[c])]
    passed = without_small_factors([numbers[c] for c in shaped], settings.trial)
    tested = tuple(c for c, good in zip(shaped, passed, strict=True) if good)

    accepted = None
    if tested:
        rounds = _Rounds(settings, epoch, number, numbers)
        promising = yield from rounds.test(tested, 0, 1)
        for candidate in promising:
            if not (yield from rounds.test((candidate,), 1, settings.rounds)):
                continue
            if (yield from rounds.gcd(candidate)):
                accepted = candidate
                break

    opened = tuple(c for c in range(size) if c != accepted)
    seeds = yield Want(Kind.OPEN, 0, 32 * len(opened), candidates=opened)
    traces = {}
    for at, c in enumerate(opened):
        own = [body[32 * at : 32 * at + 32] for body in seeds]
        for party, seed in enumerate(own, 1):
            kept = commitments[party - 1][32 * c : 32 * c + 32]
            if commitment(settings, epoch, number, party, c, seed) != kept:
                raise Misbehaviour(party, f"opened candidate {c} with a seed it had not committed to")
        traces[c] = simulate(settings, own)
    verdicts = yield Want(Kind.VERDICT, 0, None, candidates=opened, numbers=numbers, traces=traces)
    _judge_accusations(settings, traces, verdicts, read_evidence)
    _judge_points(traces, points)
    _judge_rejections(traces, numbers, tested, rounds.powers if tested else {})
    return Outcome(size, len(tested), accepted, None if accepted is None else int(numbers[accepted]))


def _well_shaped(settings: Settings, n: Any) -> bool:
    return bool(
        n.bit_length() == settings.bits
        and n % 4 == 1
        and gmpy2.gcd(n, settings.small * settings.sieve) == 1
        and not gmpy2.is_power(n)
    )


class _Rounds:
    """The biprimality test's rounds, each a promise and then the powers."""

    def __init__(self, settings: Settings, epoch: bytes, number: int, numbers: tuple[Any, ...]) -> None:
        self._settings = settings
        self._place = (epoch, number)
        self._numbers = numbers
        self._index = 0
        self._gcd_index = 0
        self.powers: dict[int, list[tuple[tuple[Any, ...], list[list[Any]]]]] = {}

    def test(
        self, candidates: tuple[int, ...], first: int, count: int
    ) -> Generator[Want, list[bytes], list[int]]:
        settings, numbers, width = self._settings, self._numbers, self._settings.number_bytes
        over = tuple(tuple(bases(settings.session, numbers[c], first, count)) for c in candidates)
        index = self._index
        self._index += 1
        promises = yield Want(Kind.PROMISE, index, 32, candidates, over, numbers)
        length = _PROMISE_NONCE + width * count * len(candidates)
        bodies = yield Want(Kind.POWERS, index, length, candidates, over, numbers)
        for party, (promised, body) in enumerate(zip(promises, bodies, strict=True), 1):
            if promise(*self._place, party, index, body) != promised:
                raise Misbehaviour(party, "sent other powers than it had committed to")
        columns = [unpack(body[_PROMISE_NONCE:], width) for body in bodies]
        passing = []
        for at, c in enumerate(candidates):
            own = [column[at * count : (at + 1) * count] for column in columns]
            self.powers.setdefault(c, []).append((over[at], own))
            for party, values in enumerate(own, 1):
                if not all(0 < value < numbers[c] for value in values):
                    raise Misbehaviour(party, f"sent a power outside 1..N-1 for candidate {c}")
            if all(agree(numbers[c], powers) for powers in zip(*own, strict=True)):
                passing.append(c)
        return passing

    def gcd(self, candidate: int) -> Generator[Want, list[bytes], bool]:
        n = self._numbers[candidate]
        width = self._settings.number_bytes
        want = Want(Kind.GCD_POINT, self._gcd_index, width, (candidate,), numbers=self._numbers)
        self._gcd_index += 1
        bodies = yield want
        points = [
            _values(body, width, n, party, "a point of the gcd test outside 0..N-1")[0]
            for party, body in enumerate(bodies, 1)
        ]
        weights = lagrange(self._settings.parties, int(n))
        return coprime(n, sum(w * z for w, z in zip(weights, points, strict=True)) % n)


def _values(body: bytes, width: int, modulus: Any, party: int, fault: str) -> list[Any]:
    values = unpack(body, width)
    if not all(value < modulus for value in values):
        raise Misbehaviour(party, f"sent {fault}")
    return values


def dealt_values(
    settings: Settings, kind: Kind, index: int, party: int, n: Any = None
) -> tuple[int, int, int]:
    """(values for each candidate, width, modulus) of a private message.

    Raises:
        ValueError: the kind or index is no private message of shares.
    """
    if kind is Kind.SIEVE and 0 <= index < settings.parties - 1:
        return values_dealt(index + 1, party), settings.sieve_bytes, settings.sieve
    if kind is Kind.PRODUCT and index == 0:
        return 3, settings.field_bytes, settings.field
    if kind is Kind.GCD and n is not None:
        return 3, settings.number_bytes, int(n)
    raise ValueError("no message of shares")


def dealt_bytes(
    settings: Settings, traces: dict[int, Trace], kind: Kind, index: int, sender: int, recipient: int
) -> dict[int, bytes]:
    """What each opened candidate's shares in a private message ought to have been."""
    _, width, _ = dealt_values(settings, kind, index, sender)
    name = ("sieve", index + 1) if kind is Kind.SIEVE else ("product", 0)
    return {c: pack(trace.dealt[name][sender - 1][recipient - 1], width) for c, trace in traces.items()}


def is_belied(settings: Settings, traces: dict[int, Trace], message: Envelope) -> bool:
    """Whether the openings show that a private message's sender did not deal what it had committed to."""
    assert message.body is not None
    count, width, _ = dealt_values(settings, message.kind, message.index, message.sender)
    size = count * width
    ought = dealt_bytes(settings, traces, message.kind, message.index, message.sender, message.recipient)
    return any(message.body[c * size : (c + 1) * size] != shares for c, shares in ought.items())


def _judge_accusations(
    settings: Settings,
    traces: dict[int, Trace],
    verdicts: Sequence[bytes],
    read_evidence: Callable[[bytes], Envelope],
) -> None:
    """Name the first cause: whoever was dealt wrong shares deals wrong ones itself in the round after."""
    found: list[tuple[Kind, int, int, bytes]] = []
    for party, body in enumerate(verdicts, 1):
        if not body:
            continue
        try:
            message = read_evidence(body)
        except InvalidTranscript as cause:
            raise Misbehaviour(party, f"brought no evidence with its accusation: {cause}") from cause
        if (
            message.kind not in (Kind.SIEVE, Kind.PRODUCT)
            or message.recipient != party
            or not is_belied(settings, traces, message)
        ):
            raise Misbehaviour(
                party, "accused another of wrong shares without ground", body, everybody_sees=True
            )
        found.append((message.kind, message.index, message.sender, body))
    if found:
        kind, index, sender, body = min(found)
        raise Misbehaviour(
            sender,
            f"sent shares that are not those it had committed to ({kind.name} {index})",
            body,
            everybody_sees=True,
        )


def _judge_points(traces: dict[int, Trace], points: Sequence[Sequence[Any]]) -> None:
    for c, trace in traces.items():
        for party, row in enumerate(points, 1):
            if row[c] != trace.points[party - 1]:
                raise Misbehaviour(party, f"broadcast a point of candidate {c} that its shares do not give")


def _judge_rejections(
    traces: dict[int, Trace],
    numbers: Sequence[Any],
    tested: Sequence[int],
    powers: dict[int, list[tuple[tuple[Any, ...], list[list[Any]]]]],
) -> None:
    """A product of two primes that was rejected shows that a power was wrong, and the seeds show whose."""
    for c in tested:
        if c not in traces or not (gmpy2.is_prime(traces[c].p) and gmpy2.is_prime(traces[c].q)):
            continue
        for over, own in powers[c]:
            for party, values in enumerate(own, 1):
                if traces[c].candidates[party - 1].powers(numbers[c], over) != values:
                    raise Misbehaviour(party, f"sent a wrong power, which had candidate {c} rejected")
