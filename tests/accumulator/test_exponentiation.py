import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    ExponentiationProof,
    InvalidExponentiationProof,
    Modulus,
    OutOfRange,
    Parameters,
    prove_exponentiation,
    verify_exponentiation,
)
from accumulator.exponentiation import _challenge

EXPONENT = 3**900


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2**700), st.binary(max_size=20))
def test_honest_proofs_verify(parameters, exponent, context):
    base = parameters.generator
    result, proof = prove_exponentiation(parameters, base, exponent, context)
    n = parameters.modulus.n
    plain = pow(base, exponent, n)
    assert result == min(plain, n - plain)
    verify_exponentiation(parameters, base, exponent, result, proof, context)


def test_an_exponent_below_the_challenge_has_the_identity_as_quotient(parameters):
    result, proof = prove_exponentiation(parameters, parameters.generator, 5)
    assert proof.quotient_power == 1
    verify_exponentiation(parameters, parameters.generator, 5, result, proof)


def test_everything_is_bound(parameters, other_chain, elements):
    base, context = parameters.generator, b"here"
    result, proof = prove_exponentiation(parameters, base, EXPONENT, context)
    verify_exponentiation(parameters, base, EXPONENT, result, proof, context)
    n = parameters.modulus.n
    other = elements.value_after
    ceremony = Parameters(Modulus(n, "ceremony"), parameters.chain)
    quotient = proof.quotient_power
    for statement in (
        (parameters, other, EXPONENT, result, proof, context),
        (parameters, base, EXPONENT + 1, result, proof, context),
        (parameters, base, -EXPONENT, result, proof, context),
        (parameters, base, 0, result, proof, context),
        (parameters, base, EXPONENT, other, proof, context),
        (parameters, base, EXPONENT, n - result, proof, context),
        (parameters, base, EXPONENT, result, ExponentiationProof(other), context),
        (parameters, base, EXPONENT, result, ExponentiationProof(n - quotient), context),
        (parameters, base, EXPONENT, result, ExponentiationProof(quotient + n), context),
        (parameters, base, EXPONENT, result, ExponentiationProof(0), context),
        (parameters, base, EXPONENT, result, ExponentiationProof(1), context),
        (parameters, base, EXPONENT, result, proof, b"there"),
        (parameters, base, EXPONENT, result, proof, b""),
        (other_chain, base, EXPONENT, result, proof, context),
        (ceremony, base, EXPONENT, result, proof, context),
    ):
        with pytest.raises(InvalidExponentiationProof):
            verify_exponentiation(*statement)
    for bad in (0, 1, n - 1, n, -1):
        for statement in ((bad, EXPONENT, result), (base, EXPONENT, bad), (n - base, EXPONENT, result)):
            with pytest.raises(InvalidExponentiationProof, match="malformed"):
                verify_exponentiation(parameters, *statement, proof, context)
    with pytest.raises(InvalidExponentiationProof, match="malformed"):
        verify_exponentiation(parameters, base, EXPONENT, n - result, proof, context)


def test_the_challenge_depends_on_every_field(parameters, other_chain):
    fields = (parameters, 5, 7, 11, b"c")
    changed = [(other_chain, 5, 7, 11, b"c"), (parameters, 6, 7, 11, b"c"), (parameters, 5, 8, 11, b"c")]
    changed += [(parameters, 5, 7, 12, b"c"), (parameters, 5, 7, 11, b"d"), (parameters, 7, 5, 11, b"c")]
    assert len({_challenge(*each) for each in (fields, *changed)}) == 1 + len(changed)


def test_a_foreseen_challenge_would_be_a_forgery(parameters, elements):
    # With l known before the result is fixed, any base^x·t^l passes the bare equation: the challenge must
    # come after, and from, the result.
    group, base = parameters.group, parameters.generator
    honest = group.power(base, EXPONENT)
    foreseen = _challenge(parameters, base, EXPONENT, honest, b"")
    error = elements.value_after
    false_result = group.multiply(honest, group.power(error, foreseen))
    forged = group.multiply(group.power(base, EXPONENT // foreseen), error)
    assert (
        group.multiply(group.power(forged, foreseen), group.power(base, EXPONENT % foreseen)) == false_result
    )
    with pytest.raises(InvalidExponentiationProof):
        verify_exponentiation(parameters, base, EXPONENT, false_result, ExponentiationProof(forged))


def test_provers_check_their_input(parameters):
    with pytest.raises(ValueError, match="at least 1"):
        prove_exponentiation(parameters, parameters.generator, 0)
    with pytest.raises(OutOfRange):
        prove_exponentiation(parameters, 1, 5)


def test_a_result_in_the_identity_is_refused(parameters, factors):
    # Only who knows the factors gets there.
    order = (factors[0] - 1) * (factors[1] - 1)
    with pytest.raises(OutOfRange):
        prove_exponentiation(parameters, parameters.generator, order)
