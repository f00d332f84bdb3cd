import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    InvalidTable,
    accumulate,
    all_membership_witnesses,
    build_table,
    membership_witness,
)
from accumulator.tables import DIGIT, FixedBaseTable, Layout, plan_layout


@pytest.fixture(scope="module")
def dense(parameters):
    return build_table(parameters, 12)


@pytest.fixture(scope="module")
def wide(parameters):
    """Little memory: entries several digits apart, and exponents that go beyond."""
    table = build_table(parameters, 20, memory=200 * (parameters.value_bytes + 48))
    assert table.layout.lanes > 1
    assert table.layout.wide
    return table


@given(st.sampled_from([64, 256, 384]), st.integers(1, 30000), st.integers(16, 2**26))
def test_layouts_cover_the_range_within_their_memory(value_bytes, elements, memory):
    if memory < 66 * (value_bytes + 48):
        return
    layout = plan_layout(value_bytes, elements, memory)
    assert layout.bits >= elements * 256
    assert layout.memory(value_bytes) <= memory
    positions = [layout.position(entry) for entry in range(min(layout.entries, 3000))]
    assert positions[0] == 0
    assert all(low < high for low, high in itertools.pairwise(positions))


@pytest.mark.parametrize(("elements", "memory"), [(0, 1 << 20), (5, 1000)])
def test_layouts_that_make_no_sense(elements, memory):
    with pytest.raises(ValueError, match="table"):
        plan_layout(256, elements, memory)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**6000))
def test_powers_equal_the_librarys(parameters, dense, wide, exponent):
    expected = parameters.group.power(parameters.generator, exponent)
    assert dense.power(exponent) == expected
    assert wide.power(exponent) == expected


def test_powers_at_the_borders(parameters, dense, wide):
    for table in (dense, wide):
        borders = {0, 1, DIGIT, table.layout.dense_bits, table.layout.bits}
        for bits in borders:
            for exponent in (1 << bits, (1 << bits) - 1, (1 << bits) + 1, (1 << bits) * 0b10000000000001):
                assert table.power(exponent) == parameters.group.power(parameters.generator, exponent)
        with pytest.raises(ValueError, match="negative"):
            table.power(-1)


def test_tables_serve_ranges_from_the_generator_and_only_those(parameters, other_chain, elements, dense):
    g, primes = parameters.generator, elements.primes
    assert accumulate(parameters, g, primes, table=dense) == elements.value_after
    assert membership_witness(parameters, g, primes, 3, table=dense) == elements.witnesses[3]
    assert all_membership_witnesses(parameters, g, primes, table=dense) == elements.witnesses
    # A later range, and another chain's table: ignored, not misused.
    later = elements.value_after
    assert accumulate(parameters, later, primes, table=dense) == accumulate(parameters, later, primes)
    theirs = accumulate(other_chain, other_chain.generator, primes)
    assert accumulate(other_chain, other_chain.generator, primes, table=dense) == theirs
    assert accumulate(other_chain, g, primes, table=dense) == elements.value_after


def test_round_trip(parameters, dense, wide):
    for table in (dense, wide):
        again = FixedBaseTable.decode(parameters, table.layout, table.encode())
        assert again.power(3**2000) == table.power(3**2000)
        assert again.encode() == table.encode()


def rehashed(raw):
    return raw[:-32] + hashlib.sha256(raw[:-32]).digest()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_bytes_never_pass(parameters, dense, data):
    raw = dense.encode()
    kind = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if kind == "flip":
        place = data.draw(st.integers(0, len(raw) - 1))
        damaged = raw[:place] + bytes([raw[place] ^ data.draw(st.integers(1, 255))]) + raw[place + 1 :]
    elif kind == "cut":
        damaged = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        damaged = raw + data.draw(st.binary(min_size=1, max_size=9))
    with pytest.raises(InvalidTable):
        FixedBaseTable.decode(parameters, dense.layout, damaged)


def test_tables_of_other_parameters_or_layouts_are_refused(parameters, other_chain, dense):
    with pytest.raises(InvalidTable, match="these parameters"):
        FixedBaseTable.decode(other_chain, dense.layout, dense.encode())
    with pytest.raises(InvalidTable, match="layout"):
        FixedBaseTable.decode(parameters, Layout(dense.layout.dense + 1, 0, 1), dense.encode())
    # Entries of one chain under another's header, with the hash made to fit: the self-check finds them.
    head = len(b"edgeproof/accumulator/table/v1\n")
    raw = dense.encode()
    forged = rehashed(raw[:head] + other_chain.digest + raw[head + 32 :])
    with pytest.raises(InvalidTable, match="generator"):
        FixedBaseTable.decode(other_chain, dense.layout, forged)


def test_the_self_check_finds_a_wrong_last_entry(parameters, dense):
    raw = dense.encode()
    width = parameters.value_bytes
    forged = rehashed(raw[: -32 - width] + (3).to_bytes(width, "big") + bytes(32))
    with pytest.raises(InvalidTable, match="generator"):
        FixedBaseTable.decode(parameters, dense.layout, forged)
