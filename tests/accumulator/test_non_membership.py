import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    AccumulatorError,
    EncodingError,
    InvalidAppendOnlyProof,
    InvalidCertificate,
    InvalidNonMembership,
    NonMembershipProof,
    Parameters,
    accumulate,
    build_table,
    check_certificate,
    decode_non_membership,
    encode_non_membership,
    hash_to_prime,
    prove_append_only,
    prove_non_membership,
    prove_range_non_membership,
    verify_non_membership,
    verify_range_non_membership,
)
from accumulator.append_only import AppendOnlyProof, independent_base

CONTEXT = b"anchor 2"


def digest(label):
    return hashlib.sha256(repr(label).encode()).digest()


@pytest.fixture(scope="module")
def later(parameters, elements):
    """A range that begins at an anchor: (value before, primes, value after, append-only proof)."""
    digests = [digest(("later", number)) for number in range(6)]
    primes = [hash_to_prime(each).prime for each in digests]
    before = elements.value_after
    after = accumulate(parameters, before, primes)
    return digests, before, primes, after, prove_append_only(parameters, before, primes, after, CONTEXT)


@pytest.fixture(scope="module")
def range_proof(parameters, later):
    _, before, primes, after, _ = later
    return prove_range_non_membership(parameters, before, primes, after, digest("absent"), CONTEXT)


@settings(deadline=None, max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 12))
def test_absent_since_the_start(parameters, elements, raw, count):
    primes = elements.primes[:count]
    value = accumulate(parameters, parameters.generator, primes)
    proof = prove_non_membership(parameters, primes, raw)
    verify_non_membership(parameters, value, raw, proof)
    assert decode_non_membership(parameters, encode_non_membership(parameters, proof)) == proof
    # Once it is accumulated, there is no proof, and the old one fails.
    with_it = accumulate(parameters, value, [hash_to_prime(raw).prime])
    with pytest.raises(InvalidNonMembership):
        verify_non_membership(parameters, with_it, raw, proof)
    with pytest.raises(InvalidNonMembership, match="accumulated"):
        prove_non_membership(parameters, [*primes, hash_to_prime(raw).prime], raw)


def test_a_table_gives_the_same_proof(parameters, elements):
    table = build_table(parameters, 12)
    proof = prove_non_membership(parameters, elements.primes, digest("absent"))
    assert prove_non_membership(parameters, elements.primes, digest("absent"), table=table) == proof


@settings(deadline=None, max_examples=25)
@given(st.binary(min_size=32, max_size=32), st.integers(0, 6))
def test_absent_from_a_range(parameters, later, raw, count):
    _, before, primes, _, _ = later
    after = accumulate(parameters, before, primes[:count])
    append_only = prove_append_only(parameters, before, primes[:count], after, CONTEXT)
    proof = prove_range_non_membership(parameters, before, primes[:count], after, raw, CONTEXT)
    verify_range_non_membership(parameters, before, after, raw, proof, append_only, CONTEXT)


def test_members_have_no_proof(parameters, later):
    digests, before, primes, after, _ = later
    for each in digests:
        with pytest.raises(InvalidNonMembership, match="accumulated"):
            prove_range_non_membership(parameters, before, primes, after, each, CONTEXT)


def test_an_element_of_an_earlier_range_is_absent_from_this_one(parameters, elements, later):
    _, before, primes, after, append_only = later
    earlier = elements.digests[0]
    proof = prove_range_non_membership(parameters, before, primes, after, earlier, CONTEXT)
    verify_range_non_membership(parameters, before, after, earlier, proof, append_only, CONTEXT)


def equation(parameters, base, value, prime, proof):
    group = parameters.group
    right = group.multiply(group.power(proof.cofactor_power, prime), base)
    return group.power(value, proof.coefficient) == right


def test_against_the_anchor_itself_whoever_knows_the_past_forges(parameters, elements):
    """Why a range proof has a base of its own: an element that is in an earlier range *and* in this one."""
    x = elements.primes[0]
    before = elements.value_after
    primes = [x, hash_to_prime(digest("other")).prime]
    after = accumulate(parameters, before, primes)
    root = elements.witnesses[0]  # root^x = before: everybody who follows the chain has it
    coefficient = 5
    group = parameters.group
    # after = before^S with x | S: after^b / before = (before^(S/x·b) / root)^x
    cofactor = group.multiply(group.power(before, primes[1] * coefficient), group.power(root, -1))
    forged = NonMembershipProof(cofactor, coefficient)
    assert equation(parameters, before, after, x, forged)  # against the anchor's value it holds
    append_only = prove_append_only(parameters, before, primes, after, CONTEXT)
    with pytest.raises(InvalidNonMembership):
        verify_range_non_membership(
            parameters, before, after, elements.digests[0], forged, append_only, CONTEXT
        )
    with pytest.raises(InvalidNonMembership):
        verify_non_membership(parameters, after, elements.digests[0], forged)


def test_a_skipped_prime_is_absent_and_not_asked_for(parameters, elements):
    """A later prime of a member's window was never accumulated; its proof says nothing about the member."""
    raw = elements.digests[0]
    canonical = hash_to_prime(raw)
    offset = canonical.offset
    while True:
        offset += 2
        try:
            skipped = check_certificate(raw, offset)  # fine in a membership proof
            break
        except InvalidCertificate:
            continue
    product = 1
    for prime in elements.primes:
        product *= prime
    coefficient = pow(product, -1, skipped)
    cofactor = parameters.group.power(parameters.generator, (coefficient * product - 1) // skipped)
    forged = NonMembershipProof(cofactor, coefficient)
    assert equation(parameters, parameters.generator, elements.value_after, skipped, forged)
    with pytest.raises(InvalidNonMembership):
        verify_non_membership(parameters, elements.value_after, raw, forged)


def test_everything_is_bound(parameters, other_chain, modulus, later, range_proof):
    _, before, _, after, append_only = later
    absent, n = digest("absent"), parameters.modulus.n
    verify_range_non_membership(parameters, before, after, absent, range_proof, append_only, CONTEXT)
    d, b = range_proof.cofactor_power, range_proof.coefficient
    x = hash_to_prime(absent).prime
    group = parameters.group
    shifted = NonMembershipProof(group.multiply(d, append_only.z), b + x)
    base = independent_base(parameters, before, after, CONTEXT)
    assert equation(parameters, base, append_only.z, x, shifted)  # holds: hence the range of b
    for bad in (
        shifted,
        NonMembershipProof(n - d, b),
        NonMembershipProof(d + n, b),
        NonMembershipProof(0, b),
        NonMembershipProof(d, 0),
        NonMembershipProof(d, b - x),
        NonMembershipProof(d, b + 1),
        NonMembershipProof(group.power(d, 2), b),
        NonMembershipProof(1, 1),
    ):
        with pytest.raises(InvalidNonMembership):
            verify_range_non_membership(parameters, before, after, absent, bad, append_only, CONTEXT)
    with pytest.raises(InvalidNonMembership):
        verify_range_non_membership(
            parameters, before, after, digest("another"), range_proof, append_only, CONTEXT
        )
    other_z = AppendOnlyProof(group.power(base, 7), append_only.q, append_only.r)
    for arguments in (
        (other_chain, before, after, absent, range_proof, append_only, CONTEXT),
        (Parameters(modulus, "edge-a "), before, after, absent, range_proof, append_only, CONTEXT),
        (parameters, parameters.generator, after, absent, range_proof, append_only, CONTEXT),
        (parameters, before, before, absent, range_proof, append_only, CONTEXT),
        (parameters, before, after, absent, range_proof, append_only, b"anchor 3"),
        (parameters, before, after, absent, range_proof, other_z, CONTEXT),
    ):
        with pytest.raises(InvalidAppendOnlyProof):
            verify_range_non_membership(*arguments)


def test_a_shortened_range_has_no_append_only_proof(parameters, later):
    """Leaving the element out of S: the value after the range does not fit, so z cannot be made."""
    digests, before, primes, after, _ = later
    shorter = primes[1:]
    forged = prove_range_non_membership(parameters, before, shorter, after, digests[0], CONTEXT)
    lie = prove_append_only(parameters, before, shorter, after, CONTEXT)
    base = independent_base(parameters, before, after, CONTEXT)
    assert equation(parameters, base, lie.z, primes[0], forged)  # this half of the proof is fine
    with pytest.raises(InvalidAppendOnlyProof):
        verify_range_non_membership(parameters, before, after, digests[0], forged, lie, CONTEXT)


def test_parameters_of_another_chain(parameters, other_chain, elements):
    proof = prove_non_membership(parameters, elements.primes, digest("absent"))
    verify_non_membership(parameters, elements.value_after, digest("absent"), proof)
    with pytest.raises(InvalidNonMembership):
        verify_non_membership(other_chain, elements.value_after, digest("absent"), proof)


def test_encoding_refusals(parameters, range_proof):
    raw = encode_non_membership(parameters, range_proof)
    assert len(raw) == parameters.value_bytes + 33
    for bad in (b"", raw[:-1], raw + b"\0", raw[: parameters.value_bytes] + bytes(33)):
        with pytest.raises(EncodingError):
            decode_non_membership(parameters, bad)
    for coefficient in (0, -1, 1 << 264):
        with pytest.raises(EncodingError):
            encode_non_membership(parameters, NonMembershipProof(range_proof.cofactor_power, coefficient))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_fuzzed_proof_never_verifies(parameters, later, range_proof, data):
    _, before, _, after, append_only = later
    raw = bytearray(encode_non_membership(parameters, range_proof))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AccumulatorError):
        verify_range_non_membership(
            parameters,
            before,
            after,
            digest("absent"),
            decode_non_membership(parameters, bytes(raw)),
            append_only,
            CONTEXT,
        )


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=120) | st.binary(min_size=97, max_size=97))
def test_any_bytes_decode_canonically_or_are_refused(parameters, raw):
    try:
        decoded = decode_non_membership(parameters, raw)
    except AccumulatorError:
        return
    assert encode_non_membership(parameters, decoded) == raw
