"""Everything this room can refuse, drawn as a tree.

AccumulatorError
├── InvalidParameters          a modulus, origin or chain that this room will not work with
├── EncodingError              bytes or text that are not the one canonical form of a value
├── OutOfRange                 not the canonical representative: outside 1 < x <= (N - 1) / 2
├── NotInGroup                 shares a factor with the modulus
├── NotPrimeRepresentative     an exponent that is not a 256-bit prime
├── InvalidCertificate         an offset that does not lead from the digest to a prime in the window
├── InvalidTable               bytes that are no table of a chain's generator, or a damaged one
├── Cancelled                  the caller stopped the work
└── InvalidProof               a claim that was checked and does not hold
    ├── InvalidMembership          membership witness, aggregate or batch; names the bad positions
    ├── InvalidExponentiationProof base^exponent is not the result
    ├── InvalidNonMembership       an element is not shown to be absent
    └── InvalidAppendOnlyProof     the later value is not shown to contain the earlier one
"""

from collections.abc import Callable


class AccumulatorError(Exception):
    """Root of everything that this room raises on foreign input."""


class InvalidParameters(AccumulatorError):
    """The modulus, its origin or the chain id cannot be used."""


class EncodingError(AccumulatorError):
    """The input is not the canonical encoding of anything."""


class OutOfRange(AccumulatorError):
    """The value is not a canonical representative of Z_N*/{±1} other than the identity."""


class NotInGroup(AccumulatorError):
    """The value shares a factor with the modulus."""


class NotPrimeRepresentative(AccumulatorError):
    """The exponent is not a 256-bit prime; a composite one would be a forgery."""


class InvalidCertificate(AccumulatorError):
    """The offset does not certify a prime representative of the digest."""


class InvalidTable(AccumulatorError):
    """The bytes are not a table of these parameters."""


class Cancelled(AccumulatorError):
    """The caller stopped the work before it was done."""

    @classmethod
    def raise_if(cls, cancelled: Callable[[], bool] | None) -> None:
        """Ask the caller whether to stop.

        Args:
            cancelled: the caller's answer; None where he cannot stop the work.

        Raises:
            Cancelled: he says so.
        """
        if cancelled is not None and cancelled():
            raise cls("the caller stopped the work")


class InvalidProof(AccumulatorError):
    """A proof was checked and refused."""


class InvalidMembership(InvalidProof):
    """A membership witness does not lead to the accumulator value.

    Attributes:
        positions: in a batch, the zero-based positions of the instances that do not hold; () elsewhere.
    """

    def __init__(self, message: str, positions: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.positions = positions


class InvalidExponentiationProof(InvalidProof):
    """A proof of exponentiation does not hold."""


class InvalidAppendOnlyProof(InvalidProof):
    """An append-only proof does not hold."""


class InvalidNonMembership(InvalidProof):
    """An element is not shown to be absent."""
