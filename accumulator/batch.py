"""Checking many membership witnesses together, soundly.

The paper's equation (1) multiplies both sides of all equations; seed 003, section IV.E. Anybody can solve
that product for elements that do not exist (see `accumulator.paper.bezout_forgery`). Two sound ways replace
it: one aggregated witness with a proof of exponentiation where all elements belong to one value, and random
exponents that the prover cannot foresee where they do not.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import gmpy2

from accumulator.errors import AccumulatorError, InvalidMembership
from accumulator.exponentiation import ExponentiationProof, prove_exponentiation, verify_exponentiation
from accumulator.membership import check_statement_but_group, verify_membership
from accumulator.parameters import Parameters
from accumulator.primes import check_prime, check_width
from accumulator.update import product

_AGGREGATE_CONTEXT = b"edgeproof/accumulator/aggregate/v1"
_RANDOM_BYTES = 16  # a batch with a bad instance passes with probability 2^-128

STREAM_CHUNK = 4096
"""Instances combined at a time: some 12 MiB at 2048 bits with their values and buckets."""


@dataclass(frozen=True)
class MembershipInstance:
    """One claim of a batch: `witness` to the power `prime` is `value`."""

    parameters: Parameters
    """Of the chain that the value belongs to."""

    value: int
    """The accumulator value, from an anchor."""

    prime: int
    """The element's prime representative, derived from the element by the verifier."""

    witness: int
    """The membership witness, from the prover."""


def aggregate(
    parameters: Parameters, primes: Sequence[int], witnesses: Sequence[int], value_after: int
) -> tuple[int, ExponentiationProof]:
    """One membership witness for all of `primes`, with the proof that lets it be checked fast.

    Shamir's trick by a tree: from w1^x1 = w2^x2 = v and a·x1 + b·x2 = 1 follows (w1^b · w2^a)^(x1·x2) = v.
    Cost: log2(n) times n 256-bit powers, and two more for the proof.

    Raises:
        InvalidMembership: no witnesses, unequal numbers, a repeated prime, or the witnesses do not all lead
            to `value_after`.
        OutOfRange, NotInGroup: a value or a witness is not canonical.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    if not primes or len(primes) != len(witnesses) or len(set(primes)) != len(primes):
        raise InvalidMembership("an aggregate needs distinct primes and one membership witness for each")
    check_width(primes)
    parameters.check_value(value_after)
    level = [(parameters.check_value(w), gmpy2.mpz(p)) for p, w in zip(primes, witnesses, strict=True)]
    while len(level) > 1:
        paired = [_combine(parameters, level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    witness, exponent = level[0]
    result, proof = prove_exponentiation(parameters, witness, int(exponent), _AGGREGATE_CONTEXT)
    if result != value_after:
        raise InvalidMembership("the membership witnesses do not all lead to the accumulator value")
    return witness, proof


def _combine(
    parameters: Parameters, left: tuple[int, gmpy2.mpz], right: tuple[int, gmpy2.mpz]
) -> tuple[int, gmpy2.mpz]:
    divisor, a, b = gmpy2.gcdext(left[1], right[1])
    if divisor != 1:
        raise InvalidMembership("the prime representatives share a factor")
    witness = parameters.group.multi_power((left[0], right[0]), (int(b), int(a)))
    return witness, left[1] * right[1]


def verify_aggregate(
    parameters: Parameters, value_after: int, primes: Sequence[int], witness: int, proof: ExponentiationProof
) -> None:
    """Check that all of `primes` were accumulated into `value_after`.

    Cost: two 256-bit powers for any number of primes, besides their primality tests and their product.

    Raises:
        InvalidMembership: a value is not canonical, a prime is none or is repeated, or the proof of
            exponentiation does not hold.
    """
    if not primes or len(set(primes)) != len(primes):
        raise InvalidMembership("an aggregate is for one or more distinct primes")
    try:
        for prime in primes:
            check_prime(prime)
        verify_exponentiation(parameters, witness, product(primes), value_after, proof, _AGGREGATE_CONTEXT)
    except AccumulatorError as error:
        raise InvalidMembership(f"the aggregated membership witness does not hold: {error}") from error


def verify_batch(
    instances: Sequence[MembershipInstance], *, randomness: Callable[[int], bytes] = secrets.token_bytes
) -> None:
    """Check any instances, of any values, chains and moduli, together; name the bad ones.

    For random 128-bit r: the product of witness^(prime·r) must be the product of value^r, in Z_N*/{±1}. If it
    is not, halves are checked with fresh randomness down to single instances (bisection).

    Args:
        instances: none is vacuously valid.
        randomness: gives that many bytes; must be unpredictable to whoever made the instances.

    Cost: see `Group.multi_power` (Straus for few, Pippenger for many); each bad instance adds about log2(n)
    smaller batches.

    Raises:
        InvalidMembership: `positions` holds the zero-based positions of all bad instances, ascending.
    """
    verify_stream(instances, randomness=randomness)


def verify_stream(
    instances: Iterable[MembershipInstance],
    *,
    randomness: Callable[[int], bytes] = secrets.token_bytes,
    chunk: int = STREAM_CHUNK,
    stop_after: int | None = None,
) -> int:
    """As `verify_batch`, over any number of instances that come one after the other.

    At most `chunk` instances are held at a time, whatever chains and moduli they are of; those of one modulus
    are checked together.

    Args:
        instances: read once; positions count from zero in their order.
        randomness: as `verify_batch`.
        chunk: instances in memory, 1 or more. Larger chunks share more (`group.multi_power_window`).
        stop_after: give up once so many bad ones are known; None: name them all.

    Returns:
        How many instances there were.

    Raises:
        InvalidMembership: `positions` holds the zero-based positions of all bad instances, ascending (with
            `stop_after`, of those found until then).
        ValueError: `chunk` is below 1.
    """
    if chunk < 1:
        raise ValueError("a chunk holds one instance or more")
    bad: list[int] = []
    held: dict[int, list[tuple[int, MembershipInstance]]] = {}
    waiting = position = 0
    for position, instance in enumerate(instances, start=1):
        try:
            check_statement_but_group(instance.parameters, instance.value, instance.prime, instance.witness)
        except InvalidMembership:
            bad.append(position - 1)
        else:
            held.setdefault(instance.parameters.modulus.n, []).append((position - 1, instance))
            waiting += 1
        if waiting >= chunk:
            fullest = max(held, key=lambda n: len(held[n]))
            waiting -= len(held[fullest])
            # Handed over without a name of its own here, which would keep it while the next chunk fills.
            bad.extend(_settle(held.pop(fullest), randomness))
        if stop_after is not None and len(bad) >= stop_after:
            break
    else:
        for claims in held.values():
            bad.extend(_settle(claims, randomness))
    if bad:
        named = ", ".join(map(str, sorted(bad)))
        raise InvalidMembership(f"membership does not hold at positions {named}", tuple(sorted(bad)))
    return position


Claims = list[tuple[int, MembershipInstance]]


def _settle(claims: Claims, randomness: Callable[[int], bytes]) -> list[int]:
    """Positions of the bad ones among `claims`, which share a modulus and are of the right form.

    One gcd for all; where it is not 1, those that share a factor with N are refused before the rest is
    combined: a multiple of a factor of N on both sides would hide everything else.
    """
    n = gmpy2.mpz(claims[0][1].parameters.modulus.n)
    product = gmpy2.mpz(1)
    for _, instance in claims:
        product = product * instance.witness % n * instance.value % n
    if gmpy2.gcd(product, n) == 1:
        return _bisect(claims, randomness)
    foreign = {
        position
        for position, instance in claims
        if gmpy2.gcd(instance.witness, n) != 1 or gmpy2.gcd(instance.value, n) != 1
    }
    rest = [claim for claim in claims if claim[0] not in foreign]
    return sorted({*foreign, *(_bisect(rest, randomness) if rest else [])})


def _bisect(claims: Claims, randomness: Callable[[int], bytes]) -> list[int]:
    """Positions of the bad ones among `claims`, which share a modulus and lie in its group."""
    if len(claims) == 1:
        return _one_by_one(claims)
    if _holds([instance for _, instance in claims], randomness):
        return []
    middle = len(claims) // 2
    bad = [*_bisect(claims[:middle], randomness), *_bisect(claims[middle:], randomness)]
    # Both halves can pass only where the randomness was foreseen; then nothing but the equations counts.
    return bad or _one_by_one(claims)


def _one_by_one(claims: Claims) -> list[int]:
    """Positions of the bad ones among `claims`, each checked alone."""
    bad = []
    for position, instance in claims:
        try:
            verify_membership(instance.parameters, instance.value, instance.prime, instance.witness)
        except InvalidMembership:
            bad.append(position)
    return bad


def _holds(instances: Sequence[MembershipInstance], randomness: Callable[[int], bytes]) -> bool:
    """Whether the random combination of instances of one modulus holds."""
    group = instances[0].parameters.group
    scalars = [_scalar(randomness) for _ in instances]
    # Instances of one value share its power: the exponents add up.
    of_value: dict[int, int] = {}
    for instance, scalar in zip(instances, scalars, strict=True):
        of_value[instance.value] = of_value.get(instance.value, 0) + scalar
    left = group.multi_power(
        [instance.witness for instance in instances],
        [instance.prime * scalar for instance, scalar in zip(instances, scalars, strict=True)],
    )
    return left == group.multi_power(list(of_value), list(of_value.values()))


def _scalar(randomness: Callable[[int], bytes]) -> int:
    """A random exponent in [1, 2^128]; short randomness would make it guessable."""
    raw = randomness(_RANDOM_BYTES)
    if len(raw) != _RANDOM_BYTES:
        raise ValueError(f"asked for {_RANDOM_BYTES} random bytes, got {len(raw)}")
    return int.from_bytes(raw, "big") + 1
