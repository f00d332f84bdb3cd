"""The forms of seed 003, section IV, as printed and as meant: unsound, kept to show the attacks.

Nothing in the product imports this module; tests, benchmarks and the demo do. Verification returns a bool
here as the paper's algorithms do. Each attack at the end is accepted by a function above it and refused by
the room's own forms.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import gmpy2

Block = tuple[bytes, int]
"""A block's contents and its sequence number, from 1."""


@dataclass(frozen=True)
class PaperProof:
    """The paper's (rho1, rho2)."""

    rho1: int
    """hash(blk || i), sent by the prover."""

    rho2: int
    """g to the product of all other hashes."""


def element_hash(block: bytes, number: int, bits: int = 256) -> int:
    """hash(blk || i): a bare SHA-256 over the contents and the decimal number.

    Composite most of the time, and "a1" || 2 = "a" || 12.

    Args:
        block: the contents.
        number: the sequence number.
        bits: the leading bits kept; fewer than 256 make the search for smooth fakes quick.
    """
    digest = hashlib.sha256(block + str(number).encode()).digest()
    return int.from_bytes(digest, "big") >> (256 - bits)


def update(n: int, value: int, block: bytes, number: int, bits: int = 256) -> int:
    """v_i = v_{i-1}^hash(blk_i || i) mod N; the genesis block starts from g (section IV.A, Update)."""
    return pow(value, element_hash(block, number, bits), n)


def accumulate(n: int, generator: int, blocks: Sequence[bytes], bits: int = 256) -> int:
    """The accumulator value after all blocks, numbered from 1."""
    value = generator
    for number, block in enumerate(blocks, start=1):
        value = update(n, value, block, number, bits)
    return value


def proof_gen(n: int, generator: int, blocks: Sequence[bytes], number: int, bits: int = 256) -> PaperProof:
    """(rho1, rho2) for block `number` (section IV.A, ProofGen)."""
    rho2 = generator
    for other, block in enumerate(blocks, start=1):
        if other != number:
            rho2 = update(n, rho2, block, other, bits)
    return PaperProof(element_hash(blocks[number - 1], number, bits), rho2)


def proof_verf_as_printed(
    n: int, value: int, block: bytes, number: int, proof: PaperProof, bits: int = 256
) -> bool:
    """ProofVerf as printed: v = rho2 rho1, read as a product. It refuses honest proofs."""
    return proof.rho1 == element_hash(block, number, bits) and value == proof.rho2 * proof.rho1 % n


def proof_verf(n: int, value: int, block: bytes, number: int, proof: PaperProof, bits: int = 256) -> bool:
    """ProofVerf as meant: rho1 is the hash, and v = rho2^rho1."""
    return proof.rho1 == element_hash(block, number, bits) and value == pow(proof.rho2, proof.rho1, n)


def proof_verf_trusting_rho1(n: int, value: int, proof: PaperProof) -> bool:
    """ProofVerf with rho1 taken from the prover, as sending (rho1, rho2) invites. Anything passes."""
    return value == pow(proof.rho2, proof.rho1, n)


def batch_proof_generation(
    n: int, value_before: int, elements: Sequence[int], later: Sequence[int]
) -> list[int]:
    """Protocol 2: the rho2 of each of `elements`, whose range starts from `value_before`.

    Args:
        n: the modulus.
        value_before: the accumulator attached to tx^(0), the transaction before the range (line 1).
        elements: hashes of tx^(1) ... tx^(t).
        later: hashes of tx^(t+1) ... tx_n, processed once (lines 2 to 4; the printed loop names its
            variable twice).
    """
    shared = value_before
    for element in later:
        shared = pow(shared, element, n)
    proofs = []
    for index in range(len(elements)):
        proof = shared
        for position, element in enumerate(elements):
            if position != index:
                proof = pow(proof, element, n)
        proofs.append(proof)
    return proofs


def equation_1(n: int, proofs: Sequence[int], elements: Sequence[int], values: Sequence[int]) -> bool:
    """Equation (1): the product of g_i^x_i equals the product of X_i mod N."""
    left = right = 1
    for proof, element, value in zip(proofs, elements, values, strict=True):
        left = left * pow(proof, element, n) % n
        right = right * value % n
    return left == right


def protocol_3_as_printed(
    n: int, proofs: Sequence[int], elements: Sequence[int], values: Sequence[int]
) -> bool:
    """Protocol 3 line by line: line 1 starts from the product of the proofs *and* the loop takes the top
    bit, and line 5 multiplies the elements x where the proofs g are meant. It refuses honest proofs."""
    result = _product(proofs, n)
    for bit in range(max(element.bit_length() for element in elements) - 1, -1, -1):
        result = result * result % n
        result = result * _product([x for x in elements if x >> bit & 1], n) % n
    return result == _product(values, n)


def protocol_3(n: int, proofs: Sequence[int], elements: Sequence[int], values: Sequence[int]) -> bool:
    """Protocol 3 as meant: equation (1) by shared squarings and a table of all 2^t products."""
    table = [1]
    for proof in proofs:
        table += [entry * proof % n for entry in table]
    result = 1
    for bit in range(max(element.bit_length() for element in elements) - 1, -1, -1):
        vector = sum((element >> bit & 1) << position for position, element in enumerate(elements))
        result = result * result % n * table[vector] % n
    return result == _product(values, n)


def _product(factors: Sequence[int], n: int) -> int:
    result = 1
    for factor in factors:
        result = result * factor % n
    return result


def bezout_forgery(n: int, values: tuple[int, int], elements: tuple[int, int]) -> tuple[int, int]:
    """Two forged proofs that pass equation (1) for elements that were never accumulated.

    With a·x1 + b·x2 = 1: g1 = (X1·X2)^a and g2 = (X1·X2)^b, since g1^x1 · g2^x2 = X1·X2. No secret is
    needed and the fake blocks are free: the paper's argument that the hash protects the verifier fails.

    Args:
        n: the modulus.
        values: the accumulator values X1 and X2, correct ones.
        elements: the exponents x1 and x2 of the fake blocks (bare hashes or prime representatives).

    Raises:
        ValueError: x1 and x2 share a factor (any other fake block will do).
    """
    divisor, a, b = gmpy2.gcdext(elements[0], elements[1])
    if divisor != 1:
        raise ValueError("the two elements share a factor; vary one of the fake blocks")
    both = values[0] * values[1] % n
    return pow(both, int(a), n), pow(both, int(b), n)


def cancellation_forgery(
    n: int, proofs: tuple[int, int], elements: tuple[int, int], factor: int
) -> tuple[int, int]:
    """Two wrong proofs whose errors cancel in equation (1): (w1·t^e2, w2·t^-e1)."""
    return (
        proofs[0] * pow(factor, elements[1], n) % n,
        proofs[1] * pow(factor, -elements[0], n) % n,
    )


def sign_forgery(n: int, proofs: tuple[int, int]) -> tuple[int, int]:
    """Two wrong proofs (N - w1, N - w2) that pass equation (1) with odd elements: the signs cancel."""
    return n - proofs[0], n - proofs[1]


def smooth_forgery(n: int, generator: int, elements: Sequence[int], fake: int) -> int:
    """A proof for a block that was never recorded, whose hash divides the product of the recorded ones.

    Raises:
        ValueError: `fake` does not divide the product; try another fake block.
    """
    exponent = gmpy2.mpz(1)
    for element in elements:
        exponent *= element
    quotient, remainder = gmpy2.f_divmod(exponent, fake)
    if remainder:
        raise ValueError("the fake's hash does not divide the product of the recorded hashes")
    return pow(generator, int(quotient), n)


def factors_known_forgery(factors: tuple[int, int], value: int, element: int) -> int:
    """A root of the accumulator value for any element prime to phi(N), by whoever holds p and q.

    This is no fault of the equation and passes every verifier of the modulus: it is why parameters record
    where N comes from.
    """
    p, q = factors
    return pow(value, pow(element, -1, (p - 1) * (q - 1)), p * q)
