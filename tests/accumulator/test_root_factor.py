import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    LazyWitnesses,
    NotPrimeRepresentative,
    OutOfRange,
    accumulate,
    all_membership_witnesses,
    build_table,
    membership_witness,
)
from accumulator.planning import TYPICAL, Costs
from accumulator.root_factor import others


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=9))
def test_others(numbers):
    products = others(numbers)
    for position, product in enumerate(products):
        expected = 1
        for other, number in enumerate(numbers):
            expected *= number if other != position else 1
        assert product == expected


@pytest.fixture(scope="module")
def long(range_of, parameters):
    return range_of(parameters, 150, "long")


@pytest.fixture(scope="module")
def table(parameters):
    return build_table(parameters, 150)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_all_witnesses_equal_one_by_one(parameters, long, table, data):
    """For any part of a range, in any order, under any plan, from the generator and from an anchor."""
    chosen = data.draw(st.lists(st.sampled_from(long.primes), max_size=24))
    before = data.draw(st.sampled_from([parameters.generator, long.value_after]))
    unit = st.floats(0.1, 10)
    costs = data.draw(st.one_of(st.none(), st.builds(Costs, unit, unit, unit, unit)))
    each = [membership_witness(parameters, before, chosen, index) for index in range(len(chosen))]
    assert all_membership_witnesses(parameters, before, chosen, costs=costs) == each
    assert all_membership_witnesses(parameters, before, chosen, costs=costs, table=table) == each
    lazy = LazyWitnesses(parameters, before, chosen, group=data.draw(st.integers(1, 9)), costs=costs, keep=2)
    order = data.draw(st.permutations(range(len(chosen))))
    assert {index: lazy.witness(index) for index in order} == dict(enumerate(each))


def test_a_long_range(parameters, long, table):
    from_anchor = all_membership_witnesses(parameters, long.value_after, long.primes)
    after = accumulate(parameters, long.value_after, long.primes)
    for prime, witness in zip(long.primes, from_anchor, strict=True):
        assert parameters.group.power(witness, prime) == after
    by_table = all_membership_witnesses(parameters, parameters.generator, long.primes, table=table)
    assert by_table == long.witnesses


def test_lazy_witnesses_open_what_is_asked_for_and_keep_a_bound(parameters, long):
    lazy = LazyWitnesses(parameters, parameters.generator, long.primes, group=20, keep=2, costs=TYPICAL)
    assert len(lazy) == 150
    for index in (0, 149, 75, 1, 148):
        assert lazy.witness(index) == long.witnesses[index]
        assert len(lazy._opened) <= 2
    sizes = [end - first for first, end, _ in lazy._groups]
    assert max(sizes) <= 20
    assert sum(sizes) == 150


def test_lazy_witnesses_use_a_table_where_it_serves_and_ignore_it_elsewhere(parameters, long, table):
    dear = Costs(9, 9, 9, 9)  # so that the plan opens the root by the table
    lazy = LazyWitnesses(parameters, parameters.generator, long.primes, group=20, costs=dear, table=table)
    assert lazy._upper.root(150).window == 0
    assert lazy._upper.root(150) != lazy._upper.step(150)
    assert [lazy.witness(index) for index in (0, 77, 149)] == [long.witnesses[i] for i in (0, 77, 149)]
    later = LazyWitnesses(parameters, long.value_after, long.primes, group=20, costs=dear, table=table)
    expected = membership_witness(parameters, long.value_after, long.primes, 77)
    assert later.witness(77) == expected


def test_lazy_witnesses_serve_threads(parameters, long):
    lazy = LazyWitnesses(parameters, parameters.generator, long.primes, group=16, keep=3, costs=TYPICAL)
    wrong = []

    def ask(start):
        for index in range(start, 150, 4):
            if lazy.witness(index) != long.witnesses[index]:
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_lazy_witnesses_refuse_what_the_others_refuse(parameters, long):
    with pytest.raises(OutOfRange):
        LazyWitnesses(parameters, 1, long.primes)
    with pytest.raises(NotPrimeRepresentative):
        LazyWitnesses(parameters, parameters.generator, [4])
    with pytest.raises(ValueError, match="group"):
        LazyWitnesses(parameters, parameters.generator, long.primes, group=0)
    lazy = LazyWitnesses(parameters, parameters.generator, long.primes[:3])
    for index in (-1, 3):
        with pytest.raises(IndexError):
            lazy.witness(index)
