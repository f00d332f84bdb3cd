"""Non-membership: an element was *not* accumulated (Li, Li, Xue 2007, the universal accumulator).

Let S be the product of the accumulated prime representatives and x the canonical one of an element that is
not among them. Then gcd(x, S) = 1, so there are b in [1, x) and a with b·S = 1 + a·x, and for a base h with
h^S = V the pair (d = h^a, b) proves it: V^b = d^x · h. If x did divide S, V^(S/x)-style roots of h would
follow: (h^(S·b/x) / d)^x = h, an x-th root of h, which nobody can take of a base of unknown origin.

That last step is why the base matters:

- *Since the start of the chain*: the base is the chain's generator g, a hash of which nobody knows a root.
- *Within a range* between two anchors: the value before the range, A, is no such base. Whoever knows what was
  accumulated before knows roots of A, so a proof against A itself would say nothing about an element that
  was accumulated before as well. The proof is therefore made against the base h of the range's append-only
  proof, hashed from both values and the context, and against that proof's z = h^S. PoKE2 shows that z and the
  value after the range carry one and the same exponent S.

What a range proof states: the S that leads from the value before to the value after, as known to whoever
made the append-only proof, is not divisible by the element's canonical prime representative. It says
nothing about other ranges, and nothing about an element of another number or content: an element's digest
binds chain, number, block, index and hashes. To show that a *subject* (a device's revocation, say) never
came, show it for what would have been accumulated, or rely on the world state.

Sound only for the canonical representative, with no prime skipped: a later prime of the window is absent
from every range. So the verifier derives the prime from the digest itself and takes no certificate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import gmpy2

from accumulator.append_only import AppendOnlyProof, independent_base, verify_append_only
from accumulator.errors import AccumulatorError, EncodingError, InvalidNonMembership
from accumulator.parameters import Parameters
from accumulator.primes import check_width, hash_to_prime
from accumulator.tables import FixedBaseTable, power_from
from accumulator.update import integer_product

_COEFFICIENT_BYTES = 33  # a canonical representative may lie just above 2^256


@dataclass(frozen=True)
class NonMembershipProof:
    """(d, b) with value^b = d^x · base."""

    cofactor_power: int
    """d = base^a, canonical; the identity where a is 0."""

    coefficient: int
    """b, the inverse of the accumulated product modulo x: 1 <= b < x."""


def prove_non_membership(
    parameters: Parameters, primes: Sequence[int], digest: bytes, *, table: FixedBaseTable | None = None
) -> NonMembershipProof:
    """Prove that `digest` is not among everything that was accumulated since the generator.

    Args:
        parameters: the chain's.
        primes: all prime representatives from the chain's start to the anchor that the proof is against.
        digest: of the absent element, 32 bytes.
        table: of the chain's generator, if there is one.

    Cost: one power of the length of all primes.

    Raises:
        InvalidNonMembership: the element is among them.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    return _prove(parameters, parameters.generator, primes, digest, table)


def verify_non_membership(
    parameters: Parameters, value: int, digest: bytes, proof: NonMembershipProof
) -> None:
    """Check that `digest` was not accumulated into `value` since the chain's generator.

    Cost: one hash to prime, two 256-bit powers.

    Raises:
        InvalidNonMembership: a value is not canonical, or the proof does not hold.
    """
    _verify(parameters, parameters.generator, value, digest, proof)


def prove_range_non_membership(
    parameters: Parameters,
    value_before: int,
    primes: Sequence[int],
    value_after: int,
    digest: bytes,
    context: bytes,
) -> NonMembershipProof:
    """Prove that `digest` is not in the range whose append-only proof has this context.

    Args:
        parameters: the chain's.
        value_before: the accumulator value before the range.
        primes: the range's prime representatives.
        value_after: the accumulator value after it.
        digest: of the absent element, 32 bytes.
        context: as of the range's append-only proof; for an anchor, its statement's digest.

    Cost: one power of the range's length.

    Raises:
        InvalidNonMembership: the element is in the range.
        OutOfRange, NotInGroup: a value is not canonical.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """
    parameters.check_value(value_before)
    parameters.check_value(value_after)
    base = independent_base(parameters, value_before, value_after, context)
    return _prove(parameters, base, primes, digest, None)


def verify_range_non_membership(
    parameters: Parameters,
    value_before: int,
    value_after: int,
    digest: bytes,
    proof: NonMembershipProof,
    append_only: AppendOnlyProof,
    context: bytes,
) -> None:
    """Check that `digest` is not in the range; see the head of this module for what that states.

    Cost: that of `verify_append_only`, one hash to prime and two 256-bit powers.

    Raises:
        InvalidNonMembership: a value is not canonical, or the proof does not hold for this range.
        InvalidAppendOnlyProof: the append-only proof does not hold.
    """
    verify_append_only(parameters, value_before, value_after, append_only, context)
    base = independent_base(parameters, value_before, value_after, context)
    _verify(parameters, base, append_only.z, digest, proof)


def encode_non_membership(parameters: Parameters, proof: NonMembershipProof) -> bytes:
    """d and b as fixed-width big-endian integers: |N| + 33 bytes.

    Raises:
        OutOfRange, NotInGroup: d is not canonical.
        EncodingError: b is not positive or does not fit.
    """
    if not 0 < proof.coefficient < 1 << (8 * _COEFFICIENT_BYTES):
        raise EncodingError("the coefficient is not positive or does not fit in 33 bytes")
    cofactor = parameters.check_element(proof.cofactor_power)
    return cofactor.to_bytes(parameters.value_bytes, "big") + proof.coefficient.to_bytes(
        _COEFFICIENT_BYTES, "big"
    )


def decode_non_membership(parameters: Parameters, raw: bytes) -> NonMembershipProof:
    """The proof that `raw` encodes; no other bytes decode to it. It is not verified yet.

    Raises:
        EncodingError: wrong width, or b is zero.
        OutOfRange, NotInGroup: d is not canonical.
    """
    width = parameters.value_bytes
    if len(raw) != width + _COEFFICIENT_BYTES:
        raise EncodingError(f"a non-membership proof has {width + _COEFFICIENT_BYTES} bytes, not {len(raw)}")
    coefficient = int.from_bytes(raw[width:], "big")
    if not coefficient:
        raise EncodingError("the coefficient is zero")
    return NonMembershipProof(parameters.check_element(int.from_bytes(raw[:width], "big")), coefficient)


def _prove(
    parameters: Parameters, base: int, primes: Sequence[int], digest: bytes, table: FixedBaseTable | None
) -> NonMembershipProof:
    check_width(primes)
    prime = gmpy2.mpz(hash_to_prime(digest).prime)
    exponent = integer_product(primes)
    if exponent % prime == 0:
        raise InvalidNonMembership("the element was accumulated: there is no proof that it was not")
    coefficient = gmpy2.invert(exponent, prime)
    cofactor = (coefficient * exponent - 1) // prime
    return NonMembershipProof(power_from(parameters, base, cofactor, table), int(coefficient))


def _verify(parameters: Parameters, base: int, value: int, digest: bytes, proof: NonMembershipProof) -> None:
    try:
        parameters.check_value(value)
        parameters.check_element(proof.cofactor_power)
    except AccumulatorError as error:
        raise InvalidNonMembership(f"malformed non-membership proof: {error}") from error
    prime = hash_to_prime(digest).prime
    if not 0 < proof.coefficient < prime:
        raise InvalidNonMembership("the coefficient is not between 1 and the prime representative")
    group = parameters.group
    right = group.multiply(group.power(proof.cofactor_power, prime), base)
    if group.power(value, proof.coefficient) != right:
        raise InvalidNonMembership("the element is not shown to be absent")
