import pytest
from hypothesis import given
from hypothesis import strategies as st

from accumulator.group import Group
from accumulator.planning import TYPICAL, Costs, Plan, measured_costs, part_bounds, part_sizes


@given(st.integers(1, 500), st.integers(1, 40))
def test_parts_cover_the_whole_evenly(size, arity):
    sizes, bounds = part_sizes(size, arity), part_bounds(size, arity)
    assert sum(sizes) == size
    assert max(sizes) - min(sizes) <= 1
    assert [high - low for low, high in bounds] == sizes
    assert [high for _, high in bounds[:-1]] == [low for low, _ in bounds[1:]]


def test_dear_multiplications_lead_to_library_powers_and_cheap_ones_to_sharing():
    assert Plan(Costs(9, 9, 1, 1)).step(200).window == 0
    assert Plan(Costs(1, 1, 9, 9)).step(200).window > 0


def best_by_trying(size, costs):
    """The least cost over all trees, without remembering any."""
    if size == 1:
        return 0.0
    options = []
    for arity in range(2, min(12, size) + 1):
        parts = part_sizes(size, arity)
        bits = (size - parts[-1]) * 256
        below = sum(best_by_trying(part, costs) for part in parts)
        options.append(arity * costs.power(bits) + below)
        options += [costs.shared(bits, arity, window) + below for window in range(2, 15)]
    return min(options)


@pytest.mark.parametrize("size", [2, 3, 7, 12, 17])
def test_the_plan_is_the_cheapest(size):
    assert Plan(TYPICAL).step(size).cost == pytest.approx(best_by_trying(size, TYPICAL))


def test_a_plan_stops_at_groups():
    assert Plan(TYPICAL, stop=64).step(1000).cost < Plan(TYPICAL).step(1000).cost


def test_a_cheap_table_opens_the_root_wider():
    plain, tabled = Plan(TYPICAL), Plan(TYPICAL, table_power=lambda bits: bits / 8)
    assert plain.root(1000) == plain.step(1000)
    assert tabled.root(1000).arity > plain.root(1000).arity
    assert tabled.root(1000).window == 0
    dear = Plan(TYPICAL, table_power=lambda bits: bits * 100)
    assert dear.root(1000) == plain.step(1000)


def test_measured_costs_are_positive_and_measured_once(modulus):
    costs = measured_costs(Group(modulus.n))
    assert min(costs.squaring, costs.multiplication, costs.short_power_bit, costs.long_power_bit) > 0
    assert measured_costs(Group(modulus.n)) is costs
