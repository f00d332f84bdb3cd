"""Proofs of exponentiation: base^exponent = result, checked without the long power.

Wesolowski's proof as PoE in Boneh, Bünz, Fisch 2019, section 3.1, made non-interactive: with a prime l
hashed from the whole statement, the prover gives base^(exponent div l). Sound in Z_N*/{±1} under the
adaptive root assumption.
"""

from dataclasses import dataclass

from accumulator._hashing import integer_bytes, tagged_hash
from accumulator.errors import AccumulatorError, InvalidExponentiationProof
from accumulator.parameters import Parameters
from accumulator.primes import hash_to_prime

_CHALLENGE_TAG = "edgeproof/accumulator/proof-of-exponentiation/v1"


@dataclass(frozen=True)
class ExponentiationProof:
    """Proof that a known exponent leads from a known base to a known result."""

    quotient_power: int
    """base^(exponent div l), canonical; the identity when the exponent is below l."""


def _challenge(parameters: Parameters, base: int, exponent: int, result: int, context: bytes) -> int:
    """The prime l; it binds modulus, origin, chain and generator by the digest, and the whole statement."""
    width = parameters.value_bytes
    return hash_to_prime(
        tagged_hash(
            _CHALLENGE_TAG,
            parameters.digest,
            base.to_bytes(width, "big"),
            result.to_bytes(width, "big"),
            integer_bytes(exponent),
            context,
        )
    ).prime


def prove_exponentiation(
    parameters: Parameters, base: int, exponent: int, context: bytes = b""
) -> tuple[int, ExponentiationProof]:
    """base^exponent with a proof of it.

    Args:
        parameters: the chain's.
        base: a canonical value.
        exponent: at least 1.
        context: what the proof is for; the verifier must name the same.

    Cost: two powers of the exponent's length.

    Raises:
        OutOfRange, NotInGroup: `base` is not canonical, or the result is the identity.
        ValueError: the exponent is below 1.
    """
    if exponent < 1:
        raise ValueError("an exponent is at least 1")
    parameters.check_value(base)
    result = parameters.check_value(parameters.group.power(base, exponent))
    challenge = _challenge(parameters, base, exponent, result, context)
    return result, ExponentiationProof(parameters.group.power(base, exponent // challenge))


def verify_exponentiation(
    parameters: Parameters,
    base: int,
    exponent: int,
    result: int,
    proof: ExponentiationProof,
    context: bytes = b"",
) -> None:
    """Check that base^exponent = result. Cost: two 256-bit powers, one hash to prime, one long reduction.

    Raises:
        InvalidExponentiationProof: a value is not canonical, the exponent is below 1, or the proof does not
            hold for this statement, these parameters and this context.
    """
    try:
        parameters.check_value(base)
        parameters.check_value(result)
        parameters.check_element(proof.quotient_power)
    except AccumulatorError as error:
        raise InvalidExponentiationProof(f"malformed proof of exponentiation: {error}") from error
    if exponent < 1:
        raise InvalidExponentiationProof("an exponent is at least 1")
    challenge = _challenge(parameters, base, exponent, result, context)
    if (
        parameters.group.multi_power((proof.quotient_power, base), (challenge, exponent % challenge))
        != result
    ):
        raise InvalidExponentiationProof("the proof of exponentiation does not lead to the result")
