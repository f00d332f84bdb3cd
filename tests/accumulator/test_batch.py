import hashlib
import itertools
import random
import weakref

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    InvalidMembership,
    MembershipInstance,
    NotPrimeRepresentative,
    OutOfRange,
    Parameters,
    accumulate,
    aggregate,
    default_parameters,
    hash_to_prime,
    membership_witness,
    prove_exponentiation,
    verify_aggregate,
    verify_batch,
    verify_membership,
    verify_stream,
)
from accumulator.batch import _AGGREGATE_CONTEXT
from accumulator.exponentiation import ExponentiationProof
from accumulator.group import multi_power_window


@pytest.fixture(scope="module")
def instances(elements, other_elements):
    """Seventeen claims that hold, of two chains over one modulus."""
    return [
        MembershipInstance(each.parameters, each.value_after, prime, witness)
        for each in (elements, other_elements)
        for prime, witness in zip(each.primes, each.witnesses, strict=True)
    ]


def seeded(seed):
    counter = itertools.count()
    return lambda length: hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(length)


def one_by_one(instances):
    bad = []
    for position, each in enumerate(instances):
        try:
            verify_membership(each.parameters, each.value, each.prime, each.witness)
        except InvalidMembership:
            bad.append(position)
    return tuple(bad)


def batch(instances, **options):
    try:
        verify_batch(instances, **options)
    except InvalidMembership as error:
        return error.positions
    return ()


def spoil(instance, kind, instances):
    n = instance.parameters.modulus.n
    other = instances[(instances.index(instance) + 1) % len(instances)]
    return {
        "witness": MembershipInstance(instance.parameters, instance.value, instance.prime, other.witness),
        "prime": MembershipInstance(instance.parameters, instance.value, other.prime, instance.witness),
        "value": MembershipInstance(instance.parameters, other.witness, instance.prime, instance.witness),
        "sign": MembershipInstance(instance.parameters, instance.value, instance.prime, n - instance.witness),
        "range": MembershipInstance(
            instance.parameters, instance.value, instance.prime, instance.witness + n
        ),
        "composite": MembershipInstance(
            instance.parameters, instance.value, instance.prime * other.prime, instance.witness
        ),
    }[kind]


def test_honest_instances_of_several_chains_and_moduli_hold(instances):
    wide = default_parameters("main")
    primes = [hash_to_prime(bytes([number]) * 32).prime for number in range(3)]
    value = accumulate(wide, wide.generator, primes)
    more = [
        MembershipInstance(wide, value, prime, membership_witness(wide, wide.generator, primes, index))
        for index, prime in enumerate(primes)
    ]
    mixed = [*instances[:4], more[0], *instances[4:], *more[1:]]
    verify_batch(mixed)
    mixed[4] = MembershipInstance(wide, value, primes[1], more[0].witness)
    assert batch(mixed) == (4,)


def test_nothing_holds_vacuously():
    verify_batch([])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_batch_equals_one_by_one(instances, data):
    chosen = data.draw(st.lists(st.sampled_from(instances), max_size=14))
    kinds = st.sampled_from(["witness", "prime", "value", "sign", "range", "composite"])
    for position in data.draw(st.sets(st.integers(0, max(0, len(chosen) - 1)), max_size=4)):
        if position < len(chosen):
            chosen[position] = spoil(chosen[position], data.draw(kinds), instances)
    assert batch(chosen) == one_by_one(chosen)


def test_bad_positions_are_named_ascending(instances):
    spoilt = list(instances)
    for position, kind in ((16, "witness"), (3, "range"), (0, "prime"), (9, "composite")):
        spoilt[position] = spoil(spoilt[position], kind, instances)
    with pytest.raises(InvalidMembership, match="positions 0, 3, 9, 16") as caught:
        verify_batch(spoilt)
    assert caught.value.positions == (0, 3, 9, 16)


def test_all_bad(instances):
    spoilt = [spoil(each, "witness", instances) for each in instances]
    assert batch(spoilt) == tuple(range(len(instances)))


def test_many_instances_go_in_chunks(instances):
    many = [instances[number % len(instances)] for number in range(600)]
    many[511] = spoil(many[511], "witness", instances)
    many[599] = spoil(many[599], "sign", instances)
    assert batch(many) == (511, 599)


def test_bisection_asks_for_fresh_randomness(instances):
    asked = []

    def randomness(length):
        asked.append(length)
        return seeded(len(asked))(length)

    verify_batch(instances, randomness=randomness)
    assert asked == [16] * len(instances)
    asked.clear()
    spoilt = [spoil(instances[0], "witness", instances), *instances[1:]]
    assert batch(spoilt, randomness=randomness) == (0,)
    assert len(asked) > len(instances)


def test_foreseen_randomness_passes_a_forgery_and_fresh_randomness_does_not(instances):
    # What the random exponents are for: errors t^(e2·r2) and t^(-e1·r1) cancel once r1 and r2 are known.
    first, second = instances[:2]
    group = first.parameters.group
    fixed = seeded("foreseen")
    r1, r2 = (int.from_bytes(fixed(16), "big") + 1 for _ in range(2))
    forged = [
        MembershipInstance(
            first.parameters,
            first.value,
            first.prime,
            group.multiply(first.witness, group.power(7, second.prime * r2)),
        ),
        MembershipInstance(
            second.parameters,
            second.value,
            second.prime,
            group.multiply(second.witness, group.power(7, -first.prime * r1)),
        ),
    ]
    assert one_by_one(forged) == (0, 1)
    assert batch(forged, randomness=seeded("foreseen")) == ()
    assert batch(forged) == (0, 1)


def test_a_failed_whole_with_passing_halves_is_still_refused(instances):
    # Foreseen randomness for the two halves only: the single equations decide.
    group = instances[0].parameters.group
    stream = seeded("halves")
    scalars = [int.from_bytes(stream(16), "big") + 1 for _ in range(8)]
    forged = list(instances[:4])
    for pair, (left, right) in (((0, 1), (4, 5)), ((2, 3), (6, 7))):
        a, b = (instances[position] for position in pair)
        # each half draws its own two scalars, after the four of the whole
        forged[pair[0]] = MembershipInstance(
            a.parameters,
            a.value,
            a.prime,
            group.multiply(a.witness, group.power(7, b.prime * scalars[right])),
        )
        forged[pair[1]] = MembershipInstance(
            b.parameters,
            b.value,
            b.prime,
            group.multiply(b.witness, group.power(7, -a.prime * scalars[left])),
        )
    assert batch(forged, randomness=seeded("halves")) == (0, 1, 2, 3)


def test_short_randomness_is_refused(instances):
    with pytest.raises(ValueError, match="random bytes"):
        verify_batch(instances, randomness=lambda length: b"\x01")


def streamed(instances, **options):
    try:
        return verify_stream(iter(instances), **options)
    except InvalidMembership as error:
        return error.positions


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_stream_equals_one_by_one_whatever_its_chunks(instances, wide_instances, data):
    chosen = data.draw(st.lists(st.sampled_from([*instances, *wide_instances]), max_size=30))
    kinds = st.sampled_from(["witness", "prime", "value", "sign", "range", "composite"])
    for position in data.draw(st.sets(st.integers(0, max(0, len(chosen) - 1)), max_size=4)):
        if position < len(chosen) and chosen[position] in instances:
            chosen[position] = spoil(chosen[position], data.draw(kinds), instances)
    expected = one_by_one(chosen) or len(chosen)
    assert streamed(chosen, chunk=data.draw(st.integers(1, 12))) == expected


@pytest.fixture(scope="module")
def wide_instances():
    """Two claims over another modulus."""
    wide = default_parameters("main")
    primes = [hash_to_prime(bytes([number]) * 32).prime for number in range(2)]
    value = accumulate(wide, wide.generator, primes)
    return [
        MembershipInstance(wide, value, prime, membership_witness(wide, wide.generator, primes, index))
        for index, prime in enumerate(primes)
    ]


def test_a_stream_holds_a_chunk_at_most(instances):
    """Claims are made as they are read and must be gone soon after: at most a chunk is alive at a time."""
    alive, most = weakref.WeakSet(), 0

    class Claim(MembershipInstance):
        __hash__ = object.__hash__

    def source(count):
        nonlocal most
        for number in range(count):
            each = instances[number % len(instances)]
            claim = Claim(each.parameters, each.value, each.prime, each.witness)
            if number == 777:
                claim = Claim(each.parameters, each.value, each.prime, instances[0].witness)
            alive.add(claim)
            most = max(most, len(alive))
            yield claim

    with pytest.raises(InvalidMembership) as caught:
        verify_stream(source(1000), chunk=50)
    assert caught.value.positions == (777,)
    assert most <= 50 + 2


def test_multiples_of_a_factor_are_named_and_hide_nothing(instances, factors):
    """Whoever knows a factor p: both sides 0 mod p. The group check comes before the combination."""
    good, p = instances[0], factors[0]
    n = good.parameters.modulus.n
    multiple = min(p * 12345 % n, n - p * 12345 % n)
    mixed = list(instances)
    mixed[4] = MembershipInstance(good.parameters, good.value, good.prime, multiple)
    mixed[6] = MembershipInstance(good.parameters, multiple, good.prime, good.witness)
    mixed[9] = spoil(instances[9], "witness", instances)
    assert batch(mixed) == one_by_one(mixed) == (4, 6, 9)
    assert batch([mixed[4]]) == (0,)


def test_a_stream_may_stop_early(instances):
    read = []

    def source():
        for number in range(200):
            read.append(number)
            yield spoil(instances[number % len(instances)], "range", instances)

    with pytest.raises(InvalidMembership) as caught:
        verify_stream(source(), stop_after=3)
    assert caught.value.positions == (0, 1, 2)
    assert len(read) == 3
    with pytest.raises(ValueError, match="chunk"):
        verify_stream([], chunk=0)


@pytest.mark.parametrize("count", [2, 3, 40, 700])
def test_few_go_through_straus_and_many_through_buckets(parameters, count):
    source = random.Random(count)
    n = parameters.modulus.n
    bases = [source.randrange(2, n) for _ in range(count)]
    exponents = [source.getrandbits(source.choice([1, 60, 384])) for _ in range(count)]
    exponents[0] = -exponents[0] - 1
    expected = 1
    for base, exponent in zip(bases, exponents, strict=True):
        expected = expected * pow(base, exponent, n) % n
    assert parameters.group.multi_power(bases, exponents) == parameters.group.canonical(expected)
    assert (multi_power_window(count, 384) > 0) == (count == 700)


@pytest.mark.parametrize("count", [3, 50])
def test_both_ways_agree(parameters, count):
    source = random.Random(count)
    pairs = [(gmpy2.mpz(source.getrandbits(500)), source.getrandbits(384)) for _ in range(count)]
    group = parameters.group
    expected = group._straus(pairs)
    for window in (3, 6, 9):
        assert group._pippenger(pairs, window) == expected
    zeros = [(base, 0) for base, _ in pairs]
    assert group._straus(zeros) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_aggregate_round_trip(parameters, elements, count):
    primes, witnesses = elements.primes[:count], elements.witnesses[:count]
    witness, proof = aggregate(parameters, primes, witnesses, elements.value_after)
    verify_aggregate(parameters, elements.value_after, primes, witness, proof)
    verify_aggregate(parameters, elements.value_after, primes[::-1], witness, proof)
    for wrong in (primes[:-1], [*primes, hash_to_prime(bytes(32)).prime]):
        with pytest.raises(InvalidMembership):
            verify_aggregate(parameters, elements.value_after, wrong, witness, proof)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_aggregate_of_any_subset(parameters, elements, data):
    chosen = data.draw(st.lists(st.integers(0, len(elements.primes) - 1), min_size=1, unique=True))
    primes = [elements.primes[index] for index in chosen]
    made = aggregate(
        parameters, primes, [elements.witnesses[index] for index in chosen], elements.value_after
    )
    verify_aggregate(parameters, elements.value_after, primes, *made)


def test_aggregate_binds_everything(parameters, elements, other_chain, modulus):
    primes = elements.primes[:3]
    witness, proof = aggregate(parameters, primes, elements.witnesses[:3], elements.value_after)
    value, n = elements.value_after, parameters.modulus.n
    product = primes[0] * primes[1]
    for arguments in (
        (parameters, elements.witnesses[0], primes, witness, proof),
        (parameters, value, [*primes[:2], elements.primes[3]], witness, proof),
        (parameters, value, [product, primes[2]], witness, proof),
        (parameters, value, [primes[0], *primes], witness, proof),
        (parameters, value, [], witness, proof),
        (parameters, value, primes, elements.witnesses[0], proof),
        (parameters, value, primes, n - witness, proof),
        (parameters, value, primes, witness, ExponentiationProof(n - proof.quotient_power)),
        (parameters, value, primes, witness, ExponentiationProof(elements.witnesses[0])),
        (other_chain, value, primes, witness, proof),
        (Parameters(modulus, "edge-a "), value, primes, witness, proof),
    ):
        with pytest.raises(InvalidMembership):
            verify_aggregate(*arguments)


def test_an_element_accumulated_twice_is_not_claimed_twice(parameters, elements):
    # The powers would be right; an aggregate still names every element once.
    prime = elements.primes[0]
    value = accumulate(parameters, parameters.generator, [prime, prime])
    result, proof = prove_exponentiation(parameters, parameters.generator, prime**2, _AGGREGATE_CONTEXT)
    assert result == value
    with pytest.raises(InvalidMembership, match="distinct"):
        verify_aggregate(parameters, value, [prime, prime], parameters.generator, proof)


def test_aggregating_refuses_what_does_not_lead_to_the_value(parameters, elements):
    primes, witnesses, value = elements.primes[:3], elements.witnesses[:3], elements.value_after
    for bad in (
        (primes, witnesses[:2], value),
        ([], [], value),
        ([primes[0]] * 2, [witnesses[0]] * 2, value),
        (primes, [witnesses[1], witnesses[0], witnesses[2]], value),
        (primes, witnesses, elements.witnesses[5]),
    ):
        with pytest.raises(InvalidMembership):
            aggregate(parameters, *bad)
    with pytest.raises(OutOfRange):
        aggregate(parameters, primes, [1, *witnesses[1:]], value)
    with pytest.raises(NotPrimeRepresentative):
        aggregate(parameters, [9, *primes[1:]], witnesses, value)
    # Odd and 256 bits wide, yet with the factor 3 in common: nothing to combine by.
    threes = [3 * (2**255 // 3 + shift) for shift in (1, 3)]
    assert all(number % 2 and number >> 255 == 1 for number in threes)
    with pytest.raises(InvalidMembership, match="share a factor"):
        aggregate(parameters, threes, witnesses[:2], value)
