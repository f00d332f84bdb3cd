"""Append-only proofs: one accumulator value is a power of an earlier one, by an exponent left unsaid.

PoKE2 of Boneh, Bünz, Fisch 2019 (section 3.2), in Z_N*/{±1}, made non-interactive. What it shows: whoever
made it knows an integer x with value_before^x = value_after, so everything that had a membership witness
still has one. What it does not show: how many elements came, in what order, that x is a product of prime
representatives, or the sign of x. Count and order come from the signed tree heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from accumulator._hashing import tagged_hash
from accumulator.errors import AccumulatorError, EncodingError, InvalidAppendOnlyProof
from accumulator.parameters import Parameters
from accumulator.primes import check_width, hash_to_prime
from accumulator.update import product

_BASE_TAG = "edgeproof/accumulator/append-only-base/v1"
_CHALLENGE_TAG = "edgeproof/accumulator/append-only/v1"
_COMBINER_TAG = "edgeproof/accumulator/append-only-combiner/v1"
_COMBINER_BYTES = 16
_REMAINDER_BYTES = 32


@dataclass(frozen=True)
class AppendOnlyProof:
    """A PoKE2 proof: knowledge of x with value_before^x = value_after."""

    z: int
    """h^x for a base h hashed from the statement; it pins x down to an integer."""

    q: int
    """value_before^(x div l) · h^(combiner · (x div l)); may be the identity."""

    r: int
    """x mod l, below the challenge l."""


def independent_base(parameters: Parameters, before: int, after: int, context: bytes) -> int:
    """h: hashed from the statement, so that nobody knows a relation between it and value_before."""
    width = parameters.value_bytes
    return parameters.hash_to_group(
        _BASE_TAG, parameters.digest, before.to_bytes(width, "big"), after.to_bytes(width, "big"), context
    )


def _challenge(parameters: Parameters, before: int, after: int, z: int, context: bytes) -> tuple[int, int]:
    """The prime l and the combiner (128 bits, 1 or more), from the whole statement and z."""
    width = parameters.value_bytes
    fields = (
        parameters.digest,
        before.to_bytes(width, "big"),
        after.to_bytes(width, "big"),
        z.to_bytes(width, "big"),
        context,
    )
    prime = hash_to_prime(tagged_hash(_CHALLENGE_TAG, *fields)).prime
    combiner = tagged_hash(_COMBINER_TAG, *fields)[:_COMBINER_BYTES]
    return prime, int.from_bytes(combiner, "big") + 1


def prove_append_only(
    parameters: Parameters, value_before: int, primes: Sequence[int], value_after: int, context: bytes
) -> AppendOnlyProof:
    """Prove that `primes` lead from `value_before` to `value_after`.

    The caller vouches for that relation: it has just accumulated. A wrong `value_after` gives a proof that
    does not verify. Cost: three powers with the product of `primes`.

    Raises:
        OutOfRange, NotInGroup: a value is not canonical.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    parameters.check_value(value_before)
    parameters.check_value(value_after)
    check_width(primes)
    exponent = product(primes)
    group = parameters.group
    base = independent_base(parameters, value_before, value_after, context)
    z = group.power(base, exponent)
    challenge, combiner = _challenge(parameters, value_before, value_after, z, context)
    quotient, remainder = divmod(exponent, challenge)
    combined = group.multiply(value_before, group.power(base, combiner))
    return AppendOnlyProof(z, group.power(combined, quotient), remainder)


def verify_append_only(
    parameters: Parameters, value_before: int, value_after: int, proof: AppendOnlyProof, context: bytes
) -> None:
    """Check that `value_after` is a power of `value_before`.

    Cost: two 256-bit and two 128-bit powers, one hash to prime; independent of how much was appended.

    Raises:
        InvalidAppendOnlyProof: a value is not canonical, or the proof does not hold for these values, these
            parameters and this context.
    """
    try:
        parameters.check_value(value_before)
        parameters.check_value(value_after)
        parameters.check_value(proof.z)
        parameters.check_element(proof.q)
    except AccumulatorError as error:
        raise InvalidAppendOnlyProof(f"malformed append-only proof: {error}") from error
    challenge, combiner = _challenge(parameters, value_before, value_after, proof.z, context)
    if not 0 <= proof.r < challenge:
        raise InvalidAppendOnlyProof("the remainder is not below the challenge")
    group = parameters.group
    base = independent_base(parameters, value_before, value_after, context)
    combined = group.multiply(value_before, group.power(base, combiner))
    left = group.multi_power((proof.q, combined), (challenge, proof.r))
    if left != group.multiply(value_after, group.power(proof.z, combiner)):
        raise InvalidAppendOnlyProof("the later value is not shown to be a power of the earlier one")


def encode_append_only(parameters: Parameters, proof: AppendOnlyProof) -> bytes:
    """z, q and r as fixed-width big-endian integers: 2·|N| + 32 bytes.

    Raises:
        OutOfRange, NotInGroup: z or q is not canonical.
        EncodingError: r does not fit in 32 bytes.
    """
    width = parameters.value_bytes
    if not 0 <= proof.r < 1 << (8 * _REMAINDER_BYTES):
        raise EncodingError("the remainder does not fit in 32 bytes")
    return (
        parameters.check_value(proof.z).to_bytes(width, "big")
        + parameters.check_element(proof.q).to_bytes(width, "big")
        + proof.r.to_bytes(_REMAINDER_BYTES, "big")
    )


def decode_append_only(parameters: Parameters, raw: bytes) -> AppendOnlyProof:
    """The proof that `raw` encodes; no other bytes decode to it. It is not verified yet.

    Raises:
        EncodingError: wrong width.
        OutOfRange, NotInGroup: z or q is not canonical.
    """
    width = parameters.value_bytes
    if len(raw) != 2 * width + _REMAINDER_BYTES:
        raise EncodingError(f"an append-only proof has {2 * width + _REMAINDER_BYTES} bytes, not {len(raw)}")
    z, q, r = (
        int.from_bytes(part, "big") for part in (raw[:width], raw[width : 2 * width], raw[2 * width :])
    )
    return AppendOnlyProof(parameters.check_value(z), parameters.check_element(q), r)
