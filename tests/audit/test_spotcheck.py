"""Spot checks: the draw is uniform and unsteered, the stated probability is the true one."""

import random
from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import Check, Invalid, Unusable
from audit.spotcheck import (
    Recomputation,
    Verdict,
    check_step,
    commit_nonce,
    detection_probability,
    draw,
    public_source,
    spot_check,
)
from chaincode.api import Environment, Step

HERE = Environment("3.11", "2.9", "x86_64", "avx2")
THERE = Environment("3.12", "2.9", "aarch64", "neon")


def make_step(number: int, result: bytes = b"\x01" * 32) -> Step:
    return Step(
        "r",
        number,
        1,
        "Org1MSP",
        b"\x02" * 32,
        b"\x03" * 32,
        number - 1,
        b"\x04" * 32,
        8,
        result,
        b"\x05" * 32,
        HERE,
    )


def test_the_probability_is_what_counting_all_samples_gives():
    for population, false, sample in [(6, 2, 2), (7, 1, 3), (8, 3, 3), (5, 0, 2), (5, 5, 1), (4, 2, 0)]:
        samples = list(combinations(range(population), sample))
        met = sum(any(one < false for one in chosen) for chosen in samples)
        assert detection_probability(population, false, sample) == Fraction(met, len(samples))


@pytest.mark.parametrize(("population", "false", "sample"), [(5, 6, 1), (5, 1, 6), (5, -1, 1), (5, 1, -1)])
def test_an_impossible_question_is_refused(population, false, sample):
    with pytest.raises(Unusable) as refusal:
        detection_probability(population, false, sample)
    assert refusal.value.exit_code == 2


def test_a_thousand_audits_agree_with_the_stated_probability():
    population, false, sample, audits = 30, 3, 5, 1000
    source = random.Random(20240611)
    met = 0
    for _ in range(audits):
        bad = set(source.sample(range(population), false))
        steps = [("edge-a", make_step(number + 1)) for number in range(population)]

        def recompute(chain, step, bad=bad):
            result = b"\xff" * 32 if step.number - 1 in bad else step.result
            return Recomputation(result, Verdict.EQUAL, HERE)

        met += bool(spot_check(steps, sample, recompute, source.randbytes).failures)
    stated = detection_probability(population, false, sample)
    assert stated == 1 - Fraction(comb(27, 5), comb(30, 5))
    deviation = sqrt(float(stated * (1 - stated)) * audits)
    assert abs(met - float(stated) * audits) <= 3 * deviation


def test_every_sample_is_equally_likely():
    source = random.Random(7)
    counts = Counter(tuple(draw(5, 2, source.randbytes)) for _ in range(10_000))
    assert len(counts) == 10
    chi_squared = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi_squared < 27.9  # 9 degrees of freedom, p = 0.001


@given(st.integers(0, 60), st.data())
def test_a_draw_is_distinct_and_in_range(population, data):
    sample = data.draw(st.integers(0, population))
    chosen = draw(population, sample)
    assert len(set(chosen)) == sample
    assert chosen == sorted(chosen)
    assert all(0 <= one < population for one in chosen)


def test_a_larger_sample_than_population_is_refused():
    with pytest.raises(Unusable):
        draw(3, 4)


def test_a_public_draw_can_be_repeated_and_depends_on_everything():
    nonce, block = b"n" * 32, b"b" * 32
    sealed = commit_nonce(nonce)
    first = draw(1000, 20, public_source(nonce, sealed, block, "run"))
    assert first == draw(1000, 20, public_source(nonce, sealed, block, "run"))
    assert first != draw(1000, 20, public_source(nonce, sealed, b"c" * 32, "run"))
    assert first != draw(1000, 20, public_source(nonce, sealed, block, "other"))


def test_a_nonce_that_does_not_open_the_commitment_is_refused():
    with pytest.raises(Invalid) as refusal:
        public_source(b"m" * 32, commit_nonce(b"n" * 32), b"b" * 32, "run")
    assert refusal.value.check is Check.SPOT_CHECK


def test_the_replayers_word_is_not_taken_for_equal():
    step = make_step(1)
    other = b"\x09" * 32
    assert check_step(step, Recomputation(step.result, Verdict.DIFFERS, THERE)) is Verdict.EQUAL
    assert check_step(step, Recomputation(other, Verdict.EQUAL, HERE)) is Verdict.DIFFERS
    assert check_step(step, Recomputation(other, Verdict.WITHIN, THERE)) is Verdict.WITHIN
    assert check_step(step, Recomputation(other, Verdict.WITHIN, HERE)) is Verdict.DIFFERS
    assert check_step(step, Recomputation(b"", Verdict.EQUAL, HERE)) is Verdict.WITHHELD
    assert check_step(step, Recomputation(b"", Verdict.DIFFERS, HERE)) is Verdict.DIFFERS


def test_a_withheld_input_is_a_failure():
    steps = [("edge-a", make_step(1))]
    outcome = spot_check(steps, 1, lambda chain, step: Recomputation(b"", Verdict.WITHHELD, None))
    assert [one.verdict for one in outcome.failures] == [Verdict.WITHHELD]
    assert outcome.confidence(1) == 1
