import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    AccumulatorError,
    AppendOnlyProof,
    EncodingError,
    InvalidAppendOnlyProof,
    Modulus,
    OutOfRange,
    Parameters,
    accumulate,
    decode_append_only,
    default_parameters,
    encode_append_only,
    hash_to_prime,
    prove_append_only,
    verify_append_only,
    verify_membership,
)
from accumulator.append_only import _challenge, independent_base

CONTEXT = b"anchor 7 of edge-a"


@pytest.fixture(scope="module")
def proof(parameters, elements):
    return prove_append_only(
        parameters, elements.value_before, elements.primes, elements.value_after, CONTEXT
    )


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_honest_proofs_verify(parameters, elements, count):
    before = elements.value_after
    primes = elements.primes[:count]
    after = accumulate(parameters, before, primes)
    made = prove_append_only(parameters, before, primes, after, CONTEXT)
    verify_append_only(parameters, before, after, made, CONTEXT)


def test_over_the_challenge_modulus():
    parameters = default_parameters("main")
    primes = [hash_to_prime(bytes([number]) * 32).prime for number in range(3)]
    after = accumulate(parameters, parameters.generator, primes)
    made = prove_append_only(parameters, parameters.generator, primes, after, b"")
    verify_append_only(parameters, parameters.generator, after, made, b"")
    assert len(encode_append_only(parameters, made)) == 544
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, after, parameters.generator, made, b"")


def test_everything_is_bound(parameters, other_chain, elements, proof):
    before, after, n = elements.value_before, elements.value_after, parameters.modulus.n
    ceremony = Parameters(Modulus(n, "ceremony"), parameters.chain)
    z, q, r = proof.z, proof.q, proof.r
    challenge, _ = _challenge(parameters, before, after, z, CONTEXT)
    wrong = elements.witnesses[0]
    for statement in (
        (parameters, after, before, proof, CONTEXT),
        (parameters, wrong, after, proof, CONTEXT),
        (parameters, before, wrong, proof, CONTEXT),
        (parameters, before, n - after, proof, CONTEXT),
        (parameters, before, after + n, proof, CONTEXT),
        (parameters, before, after, proof, CONTEXT + b"!"),
        (parameters, before, after, proof, b""),
        (other_chain, before, after, proof, CONTEXT),
        (ceremony, before, after, proof, CONTEXT),
        (parameters, before, after, AppendOnlyProof(wrong, q, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(n - z, q, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(1, q, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, wrong, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, n - q, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, 0, r), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, q, r + 1), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, q, r + challenge), CONTEXT),
        (parameters, before, after, AppendOnlyProof(z, q, r - challenge), CONTEXT),
    ):
        with pytest.raises(InvalidAppendOnlyProof):
            verify_append_only(*statement)
    verify_append_only(parameters, before, after, proof, CONTEXT)
    for left, right, bad in (
        (n - before, after, proof),
        (before + n, after, proof),
        (1, after, proof),
        (before, n - after, proof),
        (before, 0, proof),
        (before, after, AppendOnlyProof(n - z, q, r)),
        (before, after, AppendOnlyProof(z + n, q, r)),
        (before, after, AppendOnlyProof(0, q, r)),
        (before, after, AppendOnlyProof(1, q, r)),
        (before, after, AppendOnlyProof(-z, q, r)),
        (before, after, AppendOnlyProof(z, n - q, r)),
        (before, after, AppendOnlyProof(z, q + n, r)),
    ):
        with pytest.raises(InvalidAppendOnlyProof, match="malformed"):
            verify_append_only(parameters, left, right, bad, CONTEXT)


def test_base_and_challenge_depend_on_every_field(parameters, other_chain):
    fields = (parameters, 5, 7, 11, b"c")
    changed = [(other_chain, 5, 7, 11, b"c"), (parameters, 6, 7, 11, b"c"), (parameters, 5, 8, 11, b"c")]
    changed += [(parameters, 5, 7, 12, b"c"), (parameters, 5, 7, 11, b"d"), (parameters, 7, 5, 11, b"c")]
    challenges = [_challenge(*each) for each in (fields, *changed)]
    assert len({prime for prime, _ in challenges}) == 1 + len(changed)
    assert len({combiner for _, combiner in challenges}) == 1 + len(changed)
    assert all(1 <= combiner <= 1 << 128 for _, combiner in challenges)
    # The base is fixed before z, so it depends on everything else.
    bases = {
        independent_base(p, before, after, context) for p, before, after, _, context in (fields, *changed)
    }
    assert len(bases) == len(changed)


def test_a_challenge_foreseen_before_z_would_be_a_forgery(parameters, elements):
    # With l and the combiner c known before z is fixed: a·l + b·c = 1 gives q = s^a and z = h^r·s^(-b), for
    # s = after / before^r, and the bare equation holds for any two values.
    before, after, group = elements.value_after, elements.witnesses[0], parameters.group
    base = independent_base(parameters, before, after, CONTEXT)
    challenge, combiner = _challenge(parameters, before, after, base, CONTEXT)
    divisor, a, b = gmpy2.gcdext(challenge, combiner)
    assert divisor == 1
    r = 12345
    s = group.multiply(after, group.power(before, -r))
    q = group.power(s, int(a))
    z = group.multiply(group.power(base, r), group.power(s, -int(b)))
    combined = group.multiply(before, group.power(base, combiner))
    left = group.multiply(group.power(q, challenge), group.power(combined, r))
    assert left == group.multiply(after, group.power(z, combiner))
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, before, after, AppendOnlyProof(z, q, r), CONTEXT)


def weak_equation(parameters, before, after, proof, base, challenge, combiner):
    """The verifier's equation with a challenge and a base from elsewhere."""
    group = parameters.group
    combined = group.multiply(before, group.power(base, combiner))
    left = group.multiply(group.power(proof.q, challenge), group.power(combined, proof.r))
    return left == group.multiply(after, group.power(proof.z, combiner))


@pytest.mark.parametrize("unbound", ["value_after", "value_before"])
def test_a_challenge_that_leaves_out_a_value_is_a_forgery(parameters, elements, unbound):
    """The value that is left out is solved for last: nobody knows an exponent between the two."""
    group, known = parameters.group, elements.value_after
    base, z, q, r = group.power(7, 2), group.power(11, 2), group.power(13, 2), 1
    challenge, combiner = _challenge(parameters, known, known, z, CONTEXT)  # of what is fixed already
    rest = group.multiply(
        group.multiply(group.power(q, challenge), group.power(base, combiner * r)), group.power(z, -combiner)
    )
    if unbound == "value_after":
        before, after = known, group.multiply(group.power(known, r), rest)
    else:
        before, after = group.multiply(known, group.power(rest, -1)), known
    forged = AppendOnlyProof(z, q, r)
    assert weak_equation(parameters, before, after, forged, base, challenge, combiner)
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, before, after, forged, CONTEXT)


def test_a_challenge_that_leaves_out_z_is_a_forgery(parameters, elements):
    """z is solved for last: its power by the combiner's inverse needs no exponent between the two values."""
    group = parameters.group
    before, after = elements.value_after, elements.witnesses[0]
    base = independent_base(parameters, before, after, CONTEXT)
    challenge, combiner = _challenge(parameters, before, after, 1, CONTEXT)  # of everything but z
    divisor, a, b = gmpy2.gcdext(challenge, combiner)
    assert divisor == 1
    # q^l · before^r · h^(c·r) = after · z^c with z = h^r · s^b', q = s^a' for s = before^r / after.
    r = 77
    s = group.multiply(group.power(before, r), group.power(after, -1))
    forged = AppendOnlyProof(
        group.multiply(group.power(base, r), group.power(s, int(b))), group.power(s, -int(a)), r
    )
    assert weak_equation(parameters, before, after, forged, base, challenge, combiner)
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, before, after, forged, CONTEXT)


@pytest.mark.parametrize("unbound", ["context", "parameters"])
def test_a_challenge_that_leaves_out_what_it_is_for_serves_for_everything(
    parameters, other_chain, elements, proof, unbound
):
    """An honest proof, shown for another anchor or another chain over the same modulus."""
    before, after = elements.value_before, elements.value_after
    made_for = (
        independent_base(parameters, before, after, CONTEXT),
        *_challenge(parameters, before, after, proof.z, CONTEXT),
    )
    shown_under = other_chain if unbound == "parameters" else parameters
    shown_for = b"anchor 8 of edge-a" if unbound == "context" else CONTEXT
    assert weak_equation(shown_under, before, after, proof, *made_for)
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(shown_under, before, after, proof, shown_for)


def test_a_base_that_leaves_out_the_values_is_a_forgery(parameters, elements):
    """A base known beforehand: between values made from it the equation holds without any integer."""
    group, exponent, divisor = parameters.group, elements.primes[0], elements.primes[1]
    base = independent_base(parameters, 1, 1, CONTEXT)  # of the context alone
    before, after = group.power(base, divisor), group.power(base, exponent)  # e / d is no integer
    z = group.power(base, 3)
    challenge, combiner = _challenge(parameters, before, after, z, CONTEXT)
    # In exponents of h the equation reads l·q + (d + c)·r = e + 3c: q takes what is left.
    left_over = exponent + 3 * combiner
    r = left_over * pow(divisor + combiner, -1, challenge) % challenge
    forged = AppendOnlyProof(z, group.power(base, (left_over - (divisor + combiner) * r) // challenge), r)
    assert (left_over - (divisor + combiner) * r) % challenge == 0
    assert weak_equation(parameters, before, after, forged, base, challenge, combiner)
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, before, after, forged, CONTEXT)


def test_the_sign_of_the_exponent_is_not_shown(parameters, elements):
    # A stated limit: x = -5 has a proof too. Whatever had a membership witness still has one, its inverse.
    group, before = parameters.group, elements.value_after
    after = group.power(before, -5)
    base = independent_base(parameters, before, after, CONTEXT)
    z = group.power(base, -5)
    challenge, combiner = _challenge(parameters, before, after, z, CONTEXT)
    combined = group.multiply(before, group.power(base, combiner))
    quotient, remainder = divmod(-5, challenge)
    proof = AppendOnlyProof(z, group.power(combined, quotient), remainder)
    verify_append_only(parameters, before, after, proof, CONTEXT)
    still = group.power(elements.witnesses[0], -5)
    verify_membership(parameters, after, elements.primes[0], still)


def test_a_remainder_above_the_challenge_would_pass_the_bare_equation(parameters, elements, proof):
    # (q / combined, r + l) satisfies the equation: one statement must have one proof, so r < l is checked.
    before, after, group = elements.value_before, elements.value_after, parameters.group
    challenge, combiner = _challenge(parameters, before, after, proof.z, CONTEXT)
    base = independent_base(parameters, before, after, CONTEXT)
    combined = group.multiply(before, group.power(base, combiner))
    shifted = AppendOnlyProof(
        proof.z, group.multiply(proof.q, group.power(combined, -1)), proof.r + challenge
    )
    left = group.multiply(group.power(shifted.q, challenge), group.power(combined, shifted.r))
    assert left == group.multiply(after, group.power(proof.z, combiner))
    with pytest.raises(InvalidAppendOnlyProof, match="remainder"):
        verify_append_only(parameters, before, after, shifted, CONTEXT)


def test_dropping_an_element_has_no_proof(parameters, elements):
    # The chain is rewritten without its first element: no integer leads from the old value to the new one.
    rewritten = elements.witnesses[0]
    for primes in (elements.primes[1:], elements.primes, []):
        forged = prove_append_only(parameters, elements.value_after, primes, rewritten, CONTEXT)
        with pytest.raises(InvalidAppendOnlyProof):
            verify_append_only(parameters, elements.value_after, rewritten, forged, CONTEXT)


def test_rational_exponents_have_no_proof(parameters, elements):
    # Knowing t with before = t^a and after = t^b lets one satisfy the equation without z (PoKE over one
    # base) whenever a divides b mod l; z = h^x cannot be made for x = b/a.
    group, t = parameters.group, parameters.generator
    a, b = elements.primes[0], elements.primes[1]
    before, after = group.power(t, a), group.power(t, b)
    base = independent_base(parameters, before, after, CONTEXT)
    z = group.power(base, b)
    challenge, combiner = _challenge(parameters, before, after, z, CONTEXT)
    r = b * pow(a, -1, challenge) % challenge
    bare = group.power(t, (b - a * r) // challenge)
    assert (b - a * r) % challenge == 0
    assert group.multiply(group.power(bare, challenge), group.power(before, r)) == after
    h_part = group.power(base, combiner * ((b - r) // challenge))
    forged = AppendOnlyProof(z, group.multiply(bare, h_part), r)
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(parameters, before, after, forged, CONTEXT)


def test_encoding_round_trip_and_refusals(parameters, proof):
    raw = encode_append_only(parameters, proof)
    assert len(raw) == 2 * parameters.value_bytes + 32
    assert decode_append_only(parameters, raw) == proof
    for bad in (b"", raw[:-1], raw + b"\0", b"\0" + raw):
        with pytest.raises(EncodingError):
            decode_append_only(parameters, bad)
    width, n = parameters.value_bytes, parameters.modulus.n
    mirrored = (n - proof.z).to_bytes(width, "big") + raw[width:]
    with pytest.raises(OutOfRange):
        decode_append_only(parameters, mirrored)
    mirrored = raw[:width] + (n - proof.q).to_bytes(width, "big") + raw[2 * width :]
    with pytest.raises(OutOfRange):
        decode_append_only(parameters, mirrored)
    for r in (-1, 1 << 256):
        with pytest.raises(EncodingError):
            encode_append_only(parameters, AppendOnlyProof(proof.z, proof.q, r))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_fuzzed_proof_never_verifies(parameters, elements, proof, data):
    raw = encode_append_only(parameters, proof)
    position = data.draw(st.integers(0, len(raw) - 1))
    length = data.draw(st.integers(1, 3))
    mask = data.draw(st.binary(min_size=length, max_size=length).filter(any))
    fuzzed = bytearray(raw)
    for index, byte in enumerate(mask):
        fuzzed[(position + index) % len(raw)] ^= byte
    with pytest.raises(AccumulatorError):
        verify_append_only(
            parameters,
            elements.value_before,
            elements.value_after,
            decode_append_only(parameters, bytes(fuzzed)),
            CONTEXT,
        )


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200) | st.binary(min_size=160, max_size=160))
def test_any_bytes_decode_canonically_or_are_refused(parameters, raw):
    try:
        decoded = decode_append_only(parameters, raw)
    except AccumulatorError:
        return
    assert encode_append_only(parameters, decoded) == raw


def test_provers_check_their_input(parameters, elements):
    with pytest.raises(OutOfRange):
        prove_append_only(parameters, 1, elements.primes, elements.value_after, CONTEXT)
    with pytest.raises(OutOfRange):
        prove_append_only(parameters, elements.value_before, elements.primes, 0, CONTEXT)
