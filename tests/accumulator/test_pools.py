import pytest

from accumulator import Cancelled, NotPrimeRepresentative, OutOfRange, all_membership_witnesses
from accumulator.pools import WitnessPool


@pytest.fixture(scope="module")
def pool():
    with WitnessPool(2) as pool:
        pool.warm()
        yield pool


@pytest.fixture(scope="module")
def long(range_of, parameters):
    return range_of(parameters, 301, "pool")


def test_the_same_witnesses_as_in_one_process(parameters, pool, long):
    before = long.value_after  # a later range: it begins at an anchor
    seen = []
    made = pool.all_membership_witnesses(
        parameters, before, long.primes, progress=lambda *args: seen.append(args)
    )
    assert made == all_membership_witnesses(parameters, before, long.primes)
    assert seen == sorted(seen)
    assert seen[-1] == (301, 301)
    assert len(seen) > 2


@pytest.mark.parametrize("count", [0, 1, 95, 96, 97])
def test_small_ranges(parameters, pool, long, count):
    primes = long.primes[:count]
    made = pool.all_membership_witnesses(parameters, parameters.generator, primes)
    assert made == all_membership_witnesses(parameters, parameters.generator, primes)


def test_cancelled_before_and_between(parameters, pool, long):
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(parameters, parameters.generator, long.primes, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(
            parameters, parameters.generator, long.primes[:3], cancelled=lambda: True
        )
    done = []
    with pytest.raises(Cancelled):
        pool.all_membership_witnesses(
            parameters,
            parameters.generator,
            long.primes,
            progress=lambda made, whole: done.append(made),
            cancelled=lambda: bool(done),
        )
    assert 0 < done[-1] < 301
    # The pool goes on.
    made = pool.all_membership_witnesses(parameters, parameters.generator, long.primes)
    assert made == long.witnesses


def test_refusals(parameters, pool, long):
    with pytest.raises(OutOfRange):
        pool.all_membership_witnesses(parameters, 1, long.primes)
    with pytest.raises(NotPrimeRepresentative):
        pool.all_membership_witnesses(parameters, parameters.generator, [*long.primes, 4])


def test_one_worker_starts_no_process(parameters, long):
    with WitnessPool(1) as alone:
        alone.warm()
        assert alone.all_membership_witnesses(parameters, parameters.generator, long.primes) == long.witnesses
        assert alone._executor is None
