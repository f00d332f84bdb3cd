import random

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    CountingGroup,
    CountingParameters,
    accumulate_count,
    all_membership_witnesses_count,
    binary_root_factor_count,
    each_membership_witness_count,
    power_count,
    protocol3_claimed,
    protocol3_counted,
    protocol3_exact,
    simultaneous_powers_count,
    table_count,
)
from accumulator.paper import protocol_3
from accumulator.planning import TYPICAL, Costs, Plan
from accumulator.powers import SEGMENT, simultaneous_powers
from accumulator.tables import FixedBaseTable, Layout, plan_layout


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


def table_of(parameters, layout):
    """A table of any layout, by plain powers."""
    n, g = parameters.modulus.n, parameters.generator
    positions = [layout.position(entry) for entry in range(layout.entries)]
    entries = [gmpy2.powmod(g, 1 << position, n) for position in positions]
    return FixedBaseTable(parameters, layout, entries, gmpy2.powmod(g, 1 << layout.bits, n))


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
    made = all_membership_witnesses(counting, counting.generator, primes, costs=TYPICAL)
    assert counting.counting_group.count == all_membership_witnesses_count(primes, Plan(TYPICAL))
    assert len(made) == count


@pytest.mark.parametrize(
    "costs", [Costs(1, 1, 9, 9), Costs(9, 9, 1, 1), Costs(1, 9, 2, 2)], ids=["shared", "library", "mixed"]
)
def test_all_witnesses_match_the_formula_under_any_costs(counting, range_of, parameters, costs):
    elements = range_of(parameters, 70, "costs")
    made = all_membership_witnesses(counting, counting.generator, elements.primes, costs=costs)
    assert made == elements.witnesses
    assert counting.counting_group.count == all_membership_witnesses_count(elements.primes, Plan(costs))


def test_root_factor_takes_n_log_n_powers_instead_of_n_squared(elements):
    primes = elements.primes[:8]
    tree, each = binary_root_factor_count(primes), each_membership_witness_count(primes)
    assert tree.squarings == pytest.approx(8 * 3 * 256, rel=0.02)  # n·log2(n) powers of 256 bits
    assert each.squarings == pytest.approx(8 * 7 * 256, rel=0.02)  # n·(n - 1)


def test_sharing_the_chain_saves_squarings_and_multiplications():
    primes = [2**255 + 2 * number + 1 for number in range(512)]
    scrambled = [pow(3, prime, 2**256) | 1 | 2**255 for prime in primes]
    shared = all_membership_witnesses_count(scrambled, Plan(TYPICAL))
    binary = binary_root_factor_count(scrambled)
    assert shared.squarings < 0.6 * binary.squarings
    assert shared.total < 0.6 * binary.total


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 2**300), min_size=1, max_size=5), st.integers(1, 9))
def test_simultaneous_powers_match_the_formula(modulus, exponents, window):
    group = CountingGroup(modulus.n)
    simultaneous_powers(group, gmpy2.mpz(5), [gmpy2.mpz(exponent) for exponent in exponents], window)
    assert group.count == simultaneous_powers_count(exponents, window)


@pytest.mark.parametrize("bits", [SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT + 5])
def test_simultaneous_powers_match_the_formula_around_segments(modulus, bits):
    group = CountingGroup(modulus.n)
    exponents = [2**bits - 1, 2 ** (bits - 1), 2**bits // 3]
    simultaneous_powers(group, gmpy2.mpz(5), [gmpy2.mpz(exponent) for exponent in exponents], 6)
    assert group.count == simultaneous_powers_count(exponents, 6)


@pytest.mark.parametrize(
    "layout", [Layout(400, 0, 1), Layout(60, 70, 3), Layout(30, 20, 2)], ids=["dense", "wide", "short"]
)
def test_table_powers_match_the_formula(modulus, layout):
    parameters = CountingParameters(modulus, "edge-a")
    table = table_of(parameters, layout)
    source = random.Random(7)
    for bits in (1, 11, 12, 256, 660, 661, 1500, 4000):
        exponent = source.getrandbits(bits) | 1 << (bits - 1)
        parameters.counting_group.reset()
        assert table.power(exponent) == parameters.group.canonical(
            pow(parameters.generator, exponent, modulus.n)
        )
        assert parameters.counting_group.count == table_count(layout, exponent), bits


def test_a_table_saves_most_of_a_power():
    layout = plan_layout(256, 1024, 32 << 20)
    exponent = pow(3, 10**6, 2**256000) | 1 << 255999
    spent = table_count(layout, exponent)
    assert spent.squarings == 0
    assert spent.total < 256000 / 11 + 2 * 2**11
    assert spent.total < 0.08 * power_count(exponent).total


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


@given(st.lists(st.integers(1, 2**64), min_size=1, max_size=6))
def test_protocol_3_is_counted_exactly(modulus, elements):
    """Against the protocol itself, every multiplication of residues counted as it is made."""
    group = CountingGroup(modulus.n)
    proofs = [gmpy2.mpz(number + 3) for number in range(len(elements))]
    table = [None]
    for proof in proofs:
        table += [proof if entry is None else group._multiply(entry, proof) for entry in table]
    result = None
    for bit in range(max(map(int.bit_length, elements)) - 1, -1, -1):
        vector = sum((element >> bit & 1) << position for position, element in enumerate(elements))
        if result is not None:
            result = group._multiply(result, result)
        if table[vector] is not None:
            result = table[vector] if result is None else group._multiply(result, table[vector])
    batch, independent = protocol3_exact(elements)
    # Two equal entries make a squaring of a product: only the sum is a property of the protocol.
    assert group.count.total == batch.total
    expected = 1
    for proof, element in zip(proofs, elements, strict=True):
        expected = expected * pow(int(proof), element, modulus.n) % modulus.n
    assert result == expected
    assert independent.total == sum(e.bit_length() + e.bit_count() - 2 for e in elements)
