"""The paper's forms do what section IV says; what they accept beyond that is in test_attacks.py."""

import pytest

from accumulator import paper

BLOCKS = [f"block {number}".encode() for number in range(1, 9)]


@pytest.fixture(scope="module")
def n(modulus):
    return modulus.n


@pytest.fixture(scope="module")
def value(n):
    return paper.accumulate(n, 5, BLOCKS)


def proofs_of(n, numbers):
    return [paper.proof_gen(n, 5, BLOCKS, number) for number in numbers]


def test_update_block_by_block(n, value):
    running = 5
    for number, block in enumerate(BLOCKS, start=1):
        running = paper.update(n, running, block, number)
    assert running == value


def test_honest_proofs_verify_as_meant_and_not_as_printed(n, value):
    for number, block in enumerate(BLOCKS, start=1):
        proof = paper.proof_gen(n, 5, BLOCKS, number)
        assert paper.proof_verf(n, value, block, number, proof)
        assert not paper.proof_verf(n, value, b"another", number, proof)
        assert not paper.proof_verf_as_printed(n, value, block, number, proof)


def test_protocol_2_gives_the_proofs_of_its_range(n):
    elements = [paper.element_hash(block, number) for number, block in enumerate(BLOCKS, start=1)]
    before = paper.accumulate(n, 5, BLOCKS[:3])
    made = paper.batch_proof_generation(n, before, elements[3:6], elements[6:])
    assert made == [proof.rho2 for proof in proofs_of(n, (4, 5, 6))]


def test_equation_1_and_protocol_3_accept_honest_proofs_as_meant_only(n, value):
    proofs = proofs_of(n, (2, 5, 7))
    roots, elements, values = [p.rho2 for p in proofs], [p.rho1 for p in proofs], [value] * 3
    assert paper.equation_1(n, roots, elements, values)
    assert paper.protocol_3(n, roots, elements, values)
    assert not paper.protocol_3_as_printed(n, roots, elements, values)
    wrong = [roots[0], roots[1], roots[0]]
    assert not paper.equation_1(n, wrong, elements, values)
    assert not paper.protocol_3(n, wrong, elements, values)


def test_protocol_3_is_equation_1_for_exponents_of_any_width(n):
    bases, exponents = [3, 10, 12345], [1, 2**100 + 7, 0b1011]
    values = [pow(g, x, n) for g, x in zip(bases, exponents, strict=True)]
    assert paper.protocol_3(n, bases, exponents, values)
    values[1] += 1
    assert not paper.protocol_3(n, bases, exponents, values)
    assert not paper.equation_1(n, bases, exponents, values)


def test_shorter_hashes_are_prefixes():
    assert paper.element_hash(b"x", 1, 48) == paper.element_hash(b"x", 1) >> 208


def test_forgeries_say_when_they_cannot_be_made(n):
    with pytest.raises(ValueError, match="share a factor"):
        paper.bezout_forgery(n, (2, 3), (6, 10))
    with pytest.raises(ValueError, match="does not divide"):
        paper.smooth_forgery(n, 5, [4, 9], 5)
