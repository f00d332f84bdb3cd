import random

import pytest

from accumulator import (
    MembershipInstance,
    accumulate,
    aggregate,
    all_membership_witnesses,
    membership_witness,
    product,
    update,
    verify_append_only,
    verify_batch,
    verify_membership,
)
from accumulator.append_only import prove_append_only
from accumulator.counting import (
    Count,
    CountingParameters,
    accumulate_count,
    all_membership_witnesses_count,
    each_membership_witness_count,
    power_count,
    protocol3_claimed,
    protocol3_counted,
)
from accumulator.paper import protocol_3


@pytest.fixture
def counting(modulus):
    parameters = CountingParameters(modulus, "edge-a")
    _ = parameters.generator  # counted apart: it is computed once
    parameters.counting_group.reset()
    return parameters


def test_counted_arithmetic_gives_the_same_results(counting, parameters, elements):
    assert counting.generator == parameters.generator
    assert counting.digest == parameters.digest
    assert accumulate(counting, counting.generator, elements.primes) == elements.value_after
    assert all_membership_witnesses(counting, counting.generator, elements.primes) == elements.witnesses
    verify_membership(counting, elements.value_after, elements.primes[0], elements.witnesses[0])
    proof = prove_append_only(counting, counting.generator, elements.primes, elements.value_after, b"")
    verify_append_only(parameters, counting.generator, elements.value_after, proof, b"")
    made = aggregate(counting, elements.primes[:5], elements.witnesses[:5], elements.value_after)
    assert made == aggregate(parameters, elements.primes[:5], elements.witnesses[:5], elements.value_after)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 8, 2**255 - 19, 2**256 - 1])
def test_power(counting, exponent):
    assert counting.group.power(5, exponent) == counting.group.canonical(pow(5, exponent, counting.modulus.n))
    assert counting.counting_group.count == power_count(exponent)
    assert power_count(exponent).total == max(0, exponent.bit_length() + exponent.bit_count() - 2)


def test_update_and_accumulate_match_the_formula(counting, elements):
    update(counting, counting.generator, elements.primes[0])
    assert counting.counting_group.count == power_count(elements.primes[0])
    counting.counting_group.reset()
    accumulate(counting, counting.generator, elements.primes)
    count = counting.counting_group.count
    assert count == accumulate_count(elements.primes)
    # 256 squarings an element, less what rounding of the top bits loses.
    assert count.squarings == product(elements.primes).bit_length() - 1
    assert 255 * 12 <= count.squarings <= 256 * 12


def test_single_witness_matches_the_formula(counting, elements):
    membership_witness(counting, counting.generator, elements.primes, 4)
    others = elements.primes[:4] + elements.primes[5:]
    assert counting.counting_group.count == power_count(product(others))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11, 12])
def test_all_witnesses_match_the_formula(counting, elements, count):
    primes = elements.primes[:count]
    all_membership_witnesses(counting, counting.generator, primes)
    assert counting.counting_group.count == all_membership_witnesses_count(primes)


def test_root_factor_takes_n_log_n_powers_instead_of_n_squared(elements):
    primes = elements.primes[:8]
    tree, each = all_membership_witnesses_count(primes), each_membership_witness_count(primes)
    assert tree.squarings == pytest.approx(8 * 3 * 256, rel=0.02)  # n·log2(n) powers of 256 bits
    assert each.squarings == pytest.approx(8 * 7 * 256, rel=0.02)  # n·(n - 1)


def test_random_batch_shares_its_squarings(counting, elements):
    scalars = [2**127 + number for number in range(len(elements.primes))]
    drawn = iter(scalars)
    instances = [
        MembershipInstance(counting, elements.value_after, prime, witness)
        for prime, witness in zip(elements.primes, elements.witnesses, strict=True)
    ]
    # The verifier adds one to what it draws.
    verify_batch(instances, randomness=lambda length: (next(drawn) - 1).to_bytes(length, "big"))
    of_value = power_count(sum(scalars))
    of_witnesses = Count(
        counting.counting_group.count.squarings - of_value.squarings,
        counting.counting_group.count.multiplications - of_value.multiplications,
    )
    # One chain of squarings for all, a squaring for each base's table of odd powers.
    assert 370 <= of_witnesses.squarings - len(instances) <= 383
    # At most 15 odd powers and a digit in every 5 bits; a sixth of the bits in expectation.
    each = of_witnesses.multiplications / len(instances)
    assert 15 + 384 / 7 < each < 15 + 384 / 5.5
    one_by_one = sum((power_count(prime) for prime in elements.primes), Count())
    assert counting.counting_group.count.total < 0.55 * one_by_one.total


class CountedInt(int):
    """An integer that counts multiplications by anything but one."""

    count = 0

    def __mul__(self, other):
        if self != 1 and other != 1:
            CountedInt.count += 1
        return CountedInt(int(self) * int(other))

    __rmul__ = __mul__

    def __mod__(self, other):
        return CountedInt(int(self) % int(other))


@pytest.mark.parametrize("bits", [256, 2048])
def test_protocol_3_counted_step_by_step(modulus, bits):
    n, t, source = modulus.n, 8, random.Random(bits)
    elements = [source.getrandbits(bits) | 1 << (bits - 1) for _ in range(t)]
    proofs = [CountedInt(source.randrange(2, n)) for _ in range(t)]
    values = [CountedInt(pow(int(g), x, n)) for g, x in zip(proofs, elements, strict=True)]
    CountedInt.count = 0
    assert protocol_3(n, proofs, elements, values)
    zeros = sum(1 for bit in range(bits) if not any(x >> bit & 1 for x in elements))
    # table of products of two or more; squarings and multiplications after the first bit; product of values
    assert CountedInt.count == (2**t - t - 1) + (bits - 1) + (bits - 1 - zeros) + (t - 1)
    formula = protocol3_counted(t, bits).batch
    assert abs(CountedInt.count - formula) <= t + zeros
    independent = sum(power_count(x).total for x in elements)
    assert independent == pytest.approx(protocol3_counted(t, bits).independent, rel=0.02)


def test_the_papers_arithmetic():
    claimed = protocol3_claimed(8, 2048)
    assert (claimed.independent, claimed.batch) == (16384, 2304)
    assert round(100 * claimed.share, 1) == 14.1
    assert round(100 * 2034 / 16384, 1) == 12.4  # what is printed follows from the misprint 2034
    assert round(100 * protocol3_counted(8, 2048).share, 1) == 17.7
    assert round(100 * protocol3_counted(8, 256).share, 1) == 24.7
