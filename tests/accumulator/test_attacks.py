"""Every known attack: accepted by the paper's forms, refused by ours.

Where the paper has no counterpart (certificates, contexts), the test shows what the bare equation accepts.
"""

import hashlib
import itertools

import pytest

from accumulator import (
    InvalidAppendOnlyProof,
    InvalidCertificate,
    InvalidExponentiationProof,
    InvalidMembership,
    MembershipInstance,
    Modulus,
    NotPrimeRepresentative,
    Parameters,
    accumulate,
    aggregate,
    check_canonical_certificate,
    check_certificate,
    hash_to_prime,
    membership_witness,
    paper,
    prove_append_only,
    prove_exponentiation,
    verify_aggregate,
    verify_append_only,
    verify_batch,
    verify_exponentiation,
    verify_membership,
)


def digest(label):
    return hashlib.sha256(repr(label).encode()).digest()


def refused_by_ours(parameters, values, primes, witnesses):
    """All three of our verifiers refuse every one of the claims."""
    for value, prime, witness in zip(values, primes, witnesses, strict=True):
        with pytest.raises(InvalidMembership):
            verify_membership(parameters, value, prime, witness)
    instances = [
        MembershipInstance(parameters, value, prime, witness)
        for value, prime, witness in zip(values, primes, witnesses, strict=True)
    ]
    with pytest.raises(InvalidMembership) as caught:
        verify_batch(instances)
    assert caught.value.positions == tuple(range(len(instances)))


def test_smooth_fake(parameters):
    """A fake block whose bare hash factors over the recorded ones (shortened to 48 bits to find it fast)."""
    n, g, bits = parameters.modulus.n, parameters.generator, 48
    blocks = [f"reading {number}".encode() for number in range(1, 501)]
    elements = [paper.element_hash(block, number, bits) for number, block in enumerate(blocks, start=1)]
    value = paper.accumulate(n, g, blocks, bits)
    for nonce in itertools.count():
        fake = f"never recorded {nonce}".encode()
        try:
            root = paper.smooth_forgery(n, g, elements, paper.element_hash(fake, 501, bits))
            break
        except ValueError:
            continue
    proof = paper.PaperProof(paper.element_hash(fake, 501, bits), root)
    assert paper.proof_verf(n, value, fake, 501, proof, bits)

    # Ours: the fake's representative is a prime, which divides no product of other primes.
    primes = [hash_to_prime(digest(block)).prime for block in blocks[:40]]
    fake_prime = hash_to_prime(digest(fake)).prime
    with pytest.raises(ValueError, match="does not divide"):
        paper.smooth_forgery(n, g, primes, fake_prime)
    after = accumulate(parameters, g, primes)
    refused_by_ours(parameters, [after], [fake_prime], [parameters.group.canonical(root)])


def test_composite_element(parameters, elements):
    """An element that is the product of two members has a root; so has every divisor of a bare hash."""
    n, value = parameters.modulus.n, elements.value_after
    composite = elements.primes[0] * elements.primes[1]
    root = paper.smooth_forgery(n, parameters.generator, elements.primes, composite)
    right = pow(root, composite, n)
    assert right in (value, n - value)
    assert paper.proof_verf_trusting_rho1(n, right, paper.PaperProof(composite, root))
    canonical = parameters.group.canonical(root)
    assert parameters.group.power(canonical, composite) == value
    with pytest.raises(InvalidMembership) as caught:
        verify_membership(parameters, value, composite, canonical)
    assert isinstance(caught.value.__cause__, NotPrimeRepresentative)

    # Bare hashes: the third block's has a factor 3, so "3" is a member too.
    blocks = [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    hashes = [paper.element_hash(block, number) for number, block in enumerate(blocks, start=1)]
    assert any(each % 3 == 0 for each in hashes)
    bare = paper.accumulate(n, parameters.generator, blocks)
    assert pow(paper.smooth_forgery(n, parameters.generator, hashes, 3), 3, n) == bare
    with pytest.raises(InvalidMembership):
        verify_membership(parameters, parameters.group.canonical(bare), 3, parameters.group.power(2, 1))


def test_index_ambiguity(parameters):
    """ "a1" as block 2 and "a" as block 12 are one element of the paper's."""
    n, g = parameters.modulus.n, parameters.generator
    blocks = [b"x", b"a1", b"y"]
    value = paper.accumulate(n, g, blocks)
    proof = paper.proof_gen(n, g, blocks, 2)
    assert paper.proof_verf(n, value, b"a1", 2, proof)
    assert paper.proof_verf(n, value, b"a", 12, proof)

    # Ours: fields are framed by their lengths, so the two make different digests and primes.
    from accumulator._hashing import tagged_hash

    honest, shifted = (
        tagged_hash("element", block, number) for block, number in ((b"a1", b"2"), (b"a", b"12"))
    )
    assert honest != shifted
    primes = [hash_to_prime(each).prime for each in (digest("x"), honest, digest("y"))]
    after = accumulate(parameters, g, primes)
    witness = membership_witness(parameters, g, primes, 1)
    verify_membership(parameters, after, hash_to_prime(honest).prime, witness)
    with pytest.raises(InvalidMembership):
        verify_membership(parameters, after, hash_to_prime(shifted).prime, witness)


def test_bezout_forgery(parameters, other_chain, elements, other_elements):
    """Two blocks that never existed, against correct values, without any secret."""
    n = parameters.modulus.n
    values = (elements.value_after, other_elements.value_after)
    bare = tuple(paper.element_hash(f"fake {number}".encode(), number) for number in (4, 9))
    roots = paper.bezout_forgery(n, values, bare)
    assert paper.equation_1(n, roots, bare, values)
    assert paper.protocol_3(n, roots, bare, values)

    # The paper's equation is as blind with prime representatives; ours is not, and names both.
    primes = tuple(hash_to_prime(digest(f"fake {number}")).prime for number in (4, 9))
    roots = paper.bezout_forgery(n, values, primes)
    assert paper.equation_1(n, roots, primes, values)
    assert paper.protocol_3(n, roots, primes, values)
    canonical = [parameters.group.canonical(root) for root in roots]
    refused_by_ours(parameters, values, primes, canonical)
    with pytest.raises(InvalidMembership):
        aggregate(parameters, primes, canonical, elements.value_after)

    # Hidden among honest claims, it is still found.
    honest = [
        MembershipInstance(other_chain, other_elements.value_after, prime, witness)
        for prime, witness in zip(other_elements.primes, other_elements.witnesses, strict=True)
    ]
    fakes = [
        MembershipInstance(parameters, value, prime, root)
        for value, prime, root in zip(values, primes, canonical, strict=True)
    ]
    with pytest.raises(InvalidMembership) as caught:
        verify_batch([honest[0], fakes[0], *honest[1:], fakes[1]])
    assert caught.value.positions == (1, 6)


def test_bezout_forgery_with_one_value(parameters, elements):
    primes = tuple(hash_to_prime(digest(("fake", number))).prime for number in (1, 2))
    values = (elements.value_after,) * 2
    roots = paper.bezout_forgery(parameters.modulus.n, values, primes)
    assert paper.equation_1(parameters.modulus.n, roots, primes, values)
    canonical = [parameters.group.canonical(root) for root in roots]
    refused_by_ours(parameters, values, primes, canonical)


def test_cancellation(parameters, elements):
    """(w1·t^e2, w2·t^-e1): wrong proofs of real elements, so that a verifier's record is worthless."""
    n, values = parameters.modulus.n, [elements.value_after] * 2
    primes, witnesses = elements.primes[:2], elements.witnesses[:2]
    forged = paper.cancellation_forgery(n, tuple(witnesses), tuple(primes), 7)
    right = [pow(witness, prime, n) for witness, prime in zip(witnesses, primes, strict=True)]
    assert paper.equation_1(n, forged, primes, right)
    assert paper.protocol_3(n, forged, primes, right)
    canonical = [parameters.group.canonical(root) for root in forged]
    refused_by_ours(parameters, values, primes, canonical)


def test_sign_pair(parameters, elements):
    """(N - w1, N - w2): two signs cancel in equation (1)."""
    n = parameters.modulus.n
    primes, witnesses = elements.primes[:2], tuple(elements.witnesses[:2])
    right = [pow(witness, prime, n) for witness, prime in zip(witnesses, primes, strict=True)]
    forged = paper.sign_forgery(n, witnesses)
    assert paper.equation_1(n, forged, primes, right)
    assert all(pow(root, prime, n) != v for root, prime, v in zip(forged, primes, right, strict=True))
    refused_by_ours(parameters, [elements.value_after] * 2, primes, forged)


def test_range_values(parameters):
    """The paper checks no range: w + N, and w - N, are further proofs of the same block."""
    n, g = parameters.modulus.n, parameters.generator
    blocks = [b"one", b"two"]
    value = paper.accumulate(n, g, blocks)
    honest = paper.proof_gen(n, g, blocks, 1)
    for shifted in (honest.rho2 + n, honest.rho2 - n, honest.rho2 + 7 * n):
        assert paper.proof_verf(n, value, b"one", 1, paper.PaperProof(honest.rho1, shifted))
    # Degenerate values, for a chain that was talked into them, make everything a member.
    for degenerate in (0, 1):
        anything = paper.PaperProof(paper.element_hash(b"anything", 9), degenerate)
        assert paper.proof_verf(n, degenerate, b"anything", 9, anything)

    primes = [hash_to_prime(digest(block)).prime for block in blocks]
    after = accumulate(parameters, g, primes)
    witness = membership_witness(parameters, g, primes, 0)
    verify_membership(parameters, after, primes[0], witness)
    refused = [witness + n, witness - n, n - witness, 0, 1, n - 1, n]
    refused_by_ours(parameters, [after] * len(refused), [primes[0]] * len(refused), refused)
    for degenerate in (0, 1, n - 1):
        refused_by_ours(parameters, [degenerate], [primes[0]], [degenerate])


def test_rho1_taken_from_the_prover(parameters, elements):
    """A proof of one block shown for another; and (1, v) for anything."""
    n, g = parameters.modulus.n, parameters.generator
    blocks = [b"one", b"two"]
    value = paper.accumulate(n, g, blocks)
    assert paper.proof_verf_trusting_rho1(n, value, paper.proof_gen(n, g, blocks, 1))  # shown as "three"
    assert paper.proof_verf_trusting_rho1(n, value, paper.PaperProof(1, value))

    # Ours derives the prime from the element; what else the prover sends is at most an offset.
    recorded, claimed = elements.digests[0], digest("three")
    offset = elements.primes[0] - (hash_to_prime(claimed).prime - hash_to_prime(claimed).offset)
    with pytest.raises(InvalidCertificate):
        check_certificate(claimed, offset)
    refused_by_ours(
        parameters, [elements.value_after], [hash_to_prime(claimed).prime], [elements.witnesses[0]]
    )
    refused_by_ours(parameters, [elements.value_after], [1], [elements.value_after])
    assert check_certificate(recorded, hash_to_prime(recorded).offset) == elements.primes[0]


def test_factors_known(parameters, factors, elements):
    """Whoever holds p and q forges under any verifier: hence the origin, and its place in every digest."""
    never = hash_to_prime(digest("never recorded")).prime
    root = paper.factors_known_forgery(factors, elements.value_after, never)
    assert pow(root, never, parameters.modulus.n) == elements.value_after
    forged = parameters.group.canonical(root)
    verify_membership(parameters, elements.value_after, never, forged)  # no verifier can tell
    assert parameters.modulus.origin == "dealer-for-tests"

    # A verifier that trusts no dealer has other parameters: proofs bound to the digest do not carry over.
    ceremony = Parameters(Modulus(parameters.modulus.n, "ceremony"), parameters.chain)
    assert ceremony.digest != parameters.digest
    result, proof = prove_exponentiation(parameters, forged, never)
    with pytest.raises(InvalidExponentiationProof):
        verify_exponentiation(ceremony, forged, never, result, proof)


def test_wrong_certificate_offset(elements):
    raw = elements.digests[0]
    honest = hash_to_prime(raw)
    assert check_certificate(raw, honest.offset) == honest.prime
    for offset in (honest.offset + 2, honest.offset + 1, -2, 1 << 14, 1 << 300):
        with pytest.raises(InvalidCertificate):
            check_certificate(raw, offset)


def test_skipped_prime_where_the_canonical_one_is_asked(parameters, elements):
    """A later prime of the window is a certificate, but it was not accumulated, and it is not canonical."""
    raw = elements.digests[0]
    honest = hash_to_prime(raw)
    for offset in range(honest.offset + 2, 1 << 14, 2):
        try:
            skipped = check_certificate(raw, offset)
            break
        except InvalidCertificate:
            continue
    assert skipped > honest.prime
    refused_by_ours(parameters, [elements.value_after], [skipped], [elements.witnesses[0]])
    with pytest.raises(InvalidCertificate):
        check_canonical_certificate(raw, offset)


def test_parameters_of_another_chain(parameters, other_chain, elements):
    """The paper's element names no chain: equal blocks over equal g are equal values, whose ever they are."""
    n, blocks = parameters.modulus.n, [b"one", b"two"]
    on_a, on_b = paper.accumulate(n, 5, blocks), paper.accumulate(n, 5, blocks)
    assert on_a == on_b
    assert paper.proof_verf(n, on_b, b"one", 1, paper.proof_gen(n, 5, blocks, 1))

    primes = elements.primes[:4]
    value_a = accumulate(parameters, parameters.generator, primes)
    value_b = accumulate(other_chain, other_chain.generator, primes)
    assert value_a != value_b
    witness_a = membership_witness(parameters, parameters.generator, primes, 0)
    verify_membership(parameters, value_a, primes[0], witness_a)
    refused_by_ours(other_chain, [value_b], [primes[0]], [witness_a])
    together = [membership_witness(parameters, parameters.generator, primes, index) for index in range(4)]
    made = aggregate(parameters, primes, together, value_a)
    verify_aggregate(parameters, value_a, primes, *made)
    with pytest.raises(InvalidMembership):
        verify_aggregate(other_chain, value_a, primes, *made)
    proof = prove_append_only(parameters, parameters.generator, primes, value_a, b"")
    verify_append_only(parameters, parameters.generator, value_a, proof, b"")
    with pytest.raises(InvalidAppendOnlyProof):
        verify_append_only(other_chain, parameters.generator, value_a, proof, b"")


def test_append_only_proof_under_another_context(parameters, elements):
    before, after = elements.value_before, elements.value_after
    proof = prove_append_only(parameters, before, elements.primes, after, b"anchor 7")
    verify_append_only(parameters, before, after, proof, b"anchor 7")
    for context in (b"anchor 8", b"", b"anchor 7\0", b"anchor"):
        with pytest.raises(InvalidAppendOnlyProof):
            verify_append_only(parameters, before, after, proof, context)


def test_rewritten_history_is_not_append_only(parameters, elements):
    """The paper's Type-II carries the newest value alone: a chain with a block replaced looks like any."""
    n, blocks = parameters.modulus.n, [b"one", b"two", b"three"]
    rewritten = paper.accumulate(n, 5, [b"one", b"2", b"three"])
    assert paper.proof_verf(n, rewritten, b"2", 2, paper.proof_gen(n, 5, [b"one", b"2", b"three"], 2))
    assert rewritten != paper.accumulate(n, 5, blocks)

    middle = accumulate(parameters, parameters.generator, elements.primes[:2])
    replaced = [elements.primes[0], *elements.primes[2:5]]
    other_history = accumulate(parameters, parameters.generator, replaced)
    for known in (replaced, replaced[1:], elements.primes[2:5]):
        proof = prove_append_only(parameters, middle, known, other_history, b"")
        with pytest.raises(InvalidAppendOnlyProof):
            verify_append_only(parameters, middle, other_history, proof, b"")
