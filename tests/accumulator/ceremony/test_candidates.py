"""Sharing, sieve and product, checked against the sums in the clear."""

import itertools
import random
from math import gcd, prod

import pytest
from ceremony_parties import settings

from accumulator.ceremony.candidates import simulate
from accumulator.ceremony.errors import InvalidSettings
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.sharing import lagrange, pack, polynomial_points, uniform, unpack


@pytest.mark.parametrize("parties", [3, 4, 5, 6])
@pytest.mark.parametrize("bits", [128, 512])
def test_a_candidate_has_its_shape_and_the_points_give_its_product(parties, bits):
    shape = settings(bits, parties)
    source = random.Random(f"{parties} {bits}")
    for _ in range(10):
        trace = simulate(shape, [source.randbytes(32) for _ in range(parties)])
        p, q = int(trace.p), int(trace.q)
        n = sum(int(w) * int(a) for w, a in zip(lagrange(parties, shape.field), trace.points, strict=True))
        assert n % shape.field == p * q
        assert (p * q).bit_length() == bits
        assert p % 4 == q % 4 == 3
        assert gcd(p * q, shape.sieve * shape.small) == 1
        for number, candidate in enumerate(trace.candidates, 1):
            assert (candidate.p % 4, candidate.q % 4) == ((3, 3) if number == 1 else (0, 0))


def test_the_field_holds_every_product_and_agrees_for_all():
    shape = settings(512)
    assert shape.field > 1 << 512
    assert pow(3, shape.field - 1, shape.field) == 1
    assert settings(512).field == shape.field
    assert settings(512, name="another").field != shape.field


def test_any_two_parties_shares_but_not_one_fix_a_secret():
    """k = 3, degree 1: for one party's view every secret is equally likely, two see it."""
    modulus = 13
    views = {}
    for secret, coefficient in itertools.product(range(modulus), repeat=2):
        points = polynomial_points(secret, [coefficient], 3, modulus)
        for party in range(3):
            views.setdefault((party, int(points[party])), []).append(secret)
    assert all(sorted(secrets) == list(range(modulus)) for secrets in views.values())
    assert (
        len({tuple(map(int, polynomial_points(s, [c], 2, modulus))) for s in range(13) for c in range(13)})
        == 169
    )


def test_lagrange_interpolates_below_the_number_of_points():
    modulus = 10007
    source = random.Random(1)
    for parties in (3, 4, 7):
        coefficients = [source.randrange(modulus) for _ in range(parties - 1)]
        points = polynomial_points(42, coefficients, parties, modulus)
        assert sum(w * x for w, x in zip(lagrange(parties, modulus), points, strict=True)) % modulus == 42


def test_a_ring_with_small_factors_is_refused():
    with pytest.raises(ZeroDivisionError):
        lagrange(3, 2 * 101)


def test_draws_are_of_the_seed_and_the_label_alone():
    assert uniform(b"s", "a", 1000, 5) == uniform(b"s", "a", 1000, 5)
    assert uniform(b"s", "a", 1 << 200, 5) != uniform(b"s", "b", 1 << 200, 5)
    assert all(0 <= value < 3 for value in uniform(b"s", "a", 3, 100))


def test_packing_round_trips():
    values = [0, 1, 255, 256, 65535]
    assert unpack(pack(values, 2), 2) == values


def test_secrets_are_not_shown_and_can_be_dropped():
    shape = settings()
    trace = simulate(shape, [bytes([i]) * 32 for i in range(3)])
    candidate = trace.candidates[0]
    assert str(int(candidate.p)) not in repr(candidate)
    assert repr(candidate.seed) not in repr(candidate)
    candidate.forget()
    assert (candidate.p, candidate.q, candidate.seed) == (0, 0, b"")


def test_the_sieves_primes_lie_above_the_parties():
    for parties in (3, 5, 7):
        shape = settings(512, parties)
        assert gcd(shape.sieve, shape.small) == 1
        assert gcd(shape.sieve, prod(range(1, parties + 1))) == 1
        assert gcd(shape.trial, shape.sieve * shape.small) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"parties": 2}, {"parties": 17}, {"bits": 62}, {"bits": 513}, {"bits": 8192}, {"batch": 0},
        {"batch": 5000}, {"rounds": 39}, {"rounds": 257}, {"session": b"short"}, {"bits": 64, "parties": 16},
    ],
)  # fmt: skip
def test_settings_out_of_bounds_are_refused(wrong):
    usual = {"session": bytes(32), "parties": 3, "bits": 512, "batch": 8, "rounds": 40}
    Settings(**usual)
    with pytest.raises(InvalidSettings):
        Settings(**{**usual, **wrong})
