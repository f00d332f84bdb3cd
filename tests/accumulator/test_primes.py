import hashlib

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    CERTIFICATE_WINDOW,
    InvalidCertificate,
    NotPrimeRepresentative,
    PrimeRepresentative,
    check_canonical_certificate,
    check_certificate,
    hash_to_prime,
    primes,
)
from accumulator.primes import _candidates, _start, check_prime, check_width

digests = st.binary(min_size=32, max_size=32)


def digest(label):
    return hashlib.sha256(repr(label).encode()).digest()


@settings(deadline=None, max_examples=60)
@given(digests)
def test_canonical_is_the_first_prime_at_or_after_the_start(raw):
    representative = hash_to_prime(raw)
    start = _start(raw)
    assert start % 2 == 1
    assert start.bit_length() == 256
    assert representative.prime == gmpy2.next_prime(start - 1)
    assert representative.prime - start == representative.offset
    assert representative.offset % 2 == 0


@settings(deadline=None, max_examples=40)
@given(digests)
def test_the_canonical_offset_is_a_certificate(raw):
    representative = hash_to_prime(raw)
    assert representative.offset < CERTIFICATE_WINDOW
    assert check_certificate(raw, representative.offset) == representative.prime
    assert check_canonical_certificate(raw, representative.offset) == representative.prime


@settings(deadline=None, max_examples=40)
@given(digests, st.integers(-10, CERTIFICATE_WINDOW + 10))
def test_a_certificate_leads_to_a_prime_or_is_refused(raw, offset):
    expected = (
        offset % 2 == 0 and 0 <= offset < CERTIFICATE_WINDOW and gmpy2.is_prime(_start(raw) + offset, 30)
    )
    if expected:
        assert check_certificate(raw, offset) == _start(raw) + offset
    else:
        with pytest.raises(InvalidCertificate):
            check_certificate(raw, offset)


def test_a_skipped_prime_passes_as_certificate_and_not_as_canonical():
    raw = digest("skipped")
    canonical = hash_to_prime(raw)
    later = int(gmpy2.next_prime(canonical.prime))
    offset = later - _start(raw)
    assert check_certificate(raw, offset) == later
    with pytest.raises(InvalidCertificate, match="canonical"):
        check_canonical_certificate(raw, offset)


def test_the_window_is_fixed():
    raw = digest("window")
    beyond = int(gmpy2.next_prime(_start(raw) + CERTIFICATE_WINDOW)) - _start(raw)
    with pytest.raises(InvalidCertificate, match="window"):
        check_certificate(raw, beyond)


def test_the_search_crosses_segments():
    # Some starts lie more than 256 odd numbers before their prime; the search must go on exactly there.
    gaps = {raw: hash_to_prime(raw).offset for raw in (digest(("gap", i)) for i in range(250))}
    far = [raw for raw, offset in gaps.items() if offset >= 512]
    assert far
    for raw in far:
        assert hash_to_prime(raw).prime == gmpy2.next_prime(_start(raw))


def test_no_candidate_falls_between_segments(monkeypatch):
    # Starts whose first prime lies exactly at, just before and just after the end of the first segment.
    far = next(
        each for each in map(hash_to_prime, (digest(("gap", i)) for i in range(250))) if each.offset >= 516
    )
    for distance in (508, 510, 512, 514):
        monkeypatch.setattr(primes, "_start", lambda raw, distance=distance: far.prime - distance)
        assert hash_to_prime(bytes(32)) == PrimeRepresentative(far.prime, distance)


def test_an_offset_back_to_an_earlier_prime_is_no_certificate():
    raw = digest("back")
    earlier = int(gmpy2.prev_prime(_start(raw)))
    with pytest.raises(InvalidCertificate, match="window"):
        check_certificate(raw, earlier - _start(raw))


def test_the_sieve_drops_only_multiples_of_small_primes():
    start = _start(digest("sieve"))
    kept = set(_candidates(start))
    small = [q for q in range(3, 600, 2) if gmpy2.is_prime(q)]
    for position in range(256):
        assert (position in kept) == all((start + 2 * position) % q for q in small)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33)])
def test_a_digest_has_32_bytes(raw):
    with pytest.raises(ValueError, match="32 bytes"):
        hash_to_prime(raw)
    with pytest.raises(ValueError, match="32 bytes"):
        check_certificate(raw, 0)


def test_check_prime_refuses_composites_and_wrong_widths():
    prime = hash_to_prime(digest("p")).prime
    other = hash_to_prime(digest("q")).prime
    assert check_prime(prime) == prime
    for bad in (
        0,
        1,
        -prime,
        2,
        3,
        2**255 - 19,
        2**521 - 1,
        prime * other,
        prime + 1,
        1 << 255 | 1,
        2**256 + 2**15 + 1,
    ):
        with pytest.raises(NotPrimeRepresentative):
            check_prime(bad)


def test_check_width_is_about_width_and_parity_only():
    check_width([1 << 255 | 1, (1 << 256) - 1])
    for bad in (1 << 255, (1 << 255) - 1, 1 << 257 | 1, -(1 << 255) - 1):
        with pytest.raises(NotPrimeRepresentative):
            check_width([bad])
