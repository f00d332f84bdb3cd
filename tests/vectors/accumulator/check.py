"""Checks vectors.json in plain Python integers: no gmpy2, nothing of this project, own hashing and primes.

Run `python -I -S tests/vectors/accumulator/check.py [FILE]`. Exit code 0: everything holds; 1: the first
disagreement is printed.
"""

import hashlib
import json
import random
import sys
from pathlib import Path


def frame(tag, *fields):
    out = b""
    for part in (tag.encode(), *fields):
        out += len(part).to_bytes(8, "big") + part
    return out


def sha(tag, *fields):
    return hashlib.sha256(frame(tag, *fields)).digest()


def shake(length, tag, *fields):
    return hashlib.shake_256(frame(tag, *fields)).digest(length)


def short(number):
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


def miller_rabin(n, base):
    s, d = 0, n - 1
    while d % 2 == 0:
        s, d = s + 1, d // 2
    x = pow(base, d, n)
    return x == 1 or any(pow(base, d << r, n) == n - 1 for r in range(s))


def prime(n):
    """Forty random bases: an own, different test from the one specified."""
    if n < 2 or any(n % small == 0 and n != small for small in (2, 3, 5, 7, 11, 13)):
        return False
    chosen = random.Random(n)
    return n < 4 or all(miller_rabin(n, chosen.randrange(2, n - 1)) for _ in range(40))


def jacobi(a, n):
    a, sign = a % n, 1
    while a:
        while a % 2 == 0:
            a //= 2
            if n % 8 in (3, 5):
                sign = -sign
        a, n = n, a
        if a % 4 == 3 and n % 4 == 3:
            sign = -sign
        a %= n
    return sign if n == 1 else 0


def lucas(k, p, q, n):
    """(U_k, V_k) mod odd n by doubling."""
    u, v, qk, d = 0, 2, 1, p * p - 4 * q
    half = (n + 1) // 2
    for bit in bin(k)[2:]:
        u, v, qk = u * v % n, (v * v - 2 * qk) % n, qk * qk % n
        if bit == "1":
            u, v, qk = (p * u + v) * half % n, (d * u + p * v) * half % n, qk * q % n
    return u, v


def strong_lucas(n):
    d = 5
    while jacobi(d, n) != -1:
        d = -d - 2 if d > 0 else -d + 2
    s, odd = 0, n + 1
    while odd % 2 == 0:
        s, odd = s + 1, odd // 2
    u, _ = lucas(odd, 1, (1 - d) // 4, n)
    return u == 0 or any(lucas(odd << r, 1, (1 - d) // 4, n)[1] == 0 for r in range(s))


def start(digest):
    hashed = int.from_bytes(sha("edgeproof/accumulator/prime-start/v1", digest), "big")
    return hashed | 1 << 255 | 1


def first_prime(digest):
    number = start(digest)
    while not prime(number):
        number += 2
    return number


def same(name, left, right):
    if left != right:
        print(f"{name}: {left!r} is not {right!r}")
        sys.exit(1)


def check_modulus(vector):
    n = int(vector["n"], 16)
    decimal = f"{n:d}"
    same("decimal digits", len(decimal), vector["decimal_digits"])
    same("digit sum", sum(map(int, decimal)), vector["digit_sum"])
    same("bits", n.bit_length(), 2048)
    power = 2
    for _ in range(12):
        power = power * power % n
    same("2^4096", power, int(vector["two_to_4096"], 16))
    same("composite", pow(2, n - 1, n) != 1, True)
    return n


def check_primality(vector):
    odd = range(9, 90752, 2)
    same(
        "strong pseudoprimes to base 2",
        [n for n in odd if miller_rabin(n, 2) and not prime_by_trial(n)],
        vector["strong_pseudoprimes_base_2"],
    )
    for n in vector["carmichael"]:
        same(f"Carmichael {n}", all(pow(b, n, n) == b for b in range(n)) and not prime_by_trial(n), True)
    for n in vector["strong_lucas_pseudoprimes"]:
        same(f"strong Lucas pseudoprime {n}", strong_lucas(n) and not prime_by_trial(n), True)
    first = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    for count, text in vector["strong_pseudoprimes_to_first_bases"].items():
        n = int(text)
        same(f"{n} to {count} bases", all(miller_rabin(n, b) for b in first[: int(count)]), True)
        same(f"{n} is composite", prime(n), False)
    arnault = int(vector["arnault"])
    same("Arnault to base 2, 3, 5", all(miller_rabin(arnault, b) for b in (2, 3, 5)), True)
    same("Arnault by Lucas", strong_lucas(arnault), False)
    for name, text in vector["primes"].items():
        same(name, prime(int(text, 16)), True)
    for entry in vector["derived_bases"]:
        n, raw = int(entry["n"], 16), short(int(entry["n"], 16))
        for index, base in enumerate(entry["bases"]):
            stretched = shake(
                len(raw) + 16, "edgeproof/accumulator/primality-base/v1", raw, index.to_bytes(4, "big")
            )
            same("derived base", 2 + int.from_bytes(stretched, "big") % (n - 3), int(base, 16))


def prime_by_trial(n):
    """Whether n is prime, by trial division."""
    return all(n % d for d in range(2, int(n**0.5) + 1))


def check_chain(n, vector):
    def canonical(x):
        return min(x % n, n - x % n)

    def power(base, exponent):
        return canonical(pow(base, exponent, n))

    def value(text):
        number = int(text, 16)
        same("width", len(text), 512)
        same("canonical", 0 < number <= (n - 1) // 2, True)
        return number

    def wide(number):
        return number.to_bytes(256, "big")

    def to_group(tag, *fields):
        raw = shake(256 + 16, tag, short(n), bytes(4), *fields)
        return power(int.from_bytes(raw, "big") % n, 2)

    chain = vector["chain"].encode()
    generator = value(vector["generator"])
    same("generator", generator, to_group("edgeproof/accumulator/generator/v1", chain))
    digest = sha(
        "edgeproof/accumulator/parameters/v1", short(n), b"rsa-2048-challenge", chain, wide(generator)
    )
    same("parameters digest", digest.hex(), vector["parameters_digest"])

    primes = []
    for element in vector["elements"]:
        raw = bytes.fromhex(element["digest"])
        primes.append(first_prime(raw))
        same("prime", f"{primes[-1]:x}", element["prime"])
        same("offset", primes[-1] - start(raw), element["offset"])
    half = vector["first_range"]
    middle, last = value(vector["value_middle"]), value(vector["value_last"])
    expected = generator
    for number, exponent in enumerate(primes):
        if number == half:
            same("middle", expected, middle)
        expected = power(expected, exponent)
    same("last", expected, last)
    for index, text in enumerate(vector["witnesses_of_second_range"]):
        expected = middle
        for position, exponent in enumerate(primes[half:]):
            expected = expected if position == index else power(expected, exponent)
        same("witness", value(text), expected)
        same("membership", power(expected, primes[half + index]), last)

    def exponentiation(base, exponent, result, context, quotient):
        tag = "edgeproof/accumulator/proof-of-exponentiation/v1"
        challenge = first_prime(sha(tag, digest, wide(base), wide(result), short(exponent), context))
        same("power", power(base, exponent), result)
        same("quotient power", quotient, power(base, exponent // challenge))
        same("equation", canonical(power(quotient, challenge) * power(base, exponent % challenge)), result)

    whole = 1
    for exponent in primes[half:]:
        whole *= exponent
    proof = vector["aggregate"]
    exponentiation(
        value(proof["witness"]),
        whole,
        last,
        b"edgeproof/accumulator/aggregate/v1",
        value(proof["quotient_power"]),
    )
    proof = vector["exponentiation"]
    exponentiation(
        middle,
        int(proof["exponent"], 16),
        value(proof["result"]),
        bytes.fromhex(proof["context"]),
        value(proof["quotient_power"]),
    )

    context = bytes.fromhex(vector["append_only"]["context"])
    raw = bytes.fromhex(vector["append_only"]["proof"])
    same("append-only width", len(raw), 544)
    z, q, r = (int.from_bytes(part, "big") for part in (raw[:256], raw[256:512], raw[512:]))
    base = to_group("edgeproof/accumulator/append-only-base/v1", digest, wide(middle), wide(last), context)
    fields = (digest, wide(middle), wide(last), wide(z), context)
    challenge = first_prime(sha("edgeproof/accumulator/append-only/v1", *fields))
    combiner = 1 + int.from_bytes(sha("edgeproof/accumulator/append-only-combiner/v1", *fields)[:16], "big")
    same("z", z, power(base, whole))
    same("r", r, whole % challenge)
    same("q", q, power(middle * power(base, combiner), whole // challenge))
    left = power(q, challenge) * power(middle, r) * power(base, combiner * r)
    same("append-only", canonical(left), canonical(last * power(z, combiner)))

    def absent(name, top, lower, product, text):
        prime_of_absent = first_prime(bytes.fromhex(vector["non_membership"]["digest"]))
        raw = bytes.fromhex(text)
        same("non-membership width", len(raw), 289)
        d, b = int.from_bytes(raw[:256], "big"), int.from_bytes(raw[256:], "big")
        same(f"{name}: coefficient", b, pow(product, -1, prime_of_absent))
        same(f"{name}: cofactor", d, power(lower, (b * product - 1) // prime_of_absent))
        same(f"{name}: equation", power(top, b), canonical(power(d, prime_of_absent) * lower))

    absent("second range", z, base, whole, vector["non_membership"]["of_second_range"])
    for exponent in primes[:half]:
        whole *= exponent
    absent("since the start", last, generator, whole, vector["non_membership"]["since_the_start"])


def main():
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("vectors.json")
    vectors = json.loads(file.read_text())
    n = check_modulus(vectors["modulus"])
    check_primality(vectors["primality"])
    for chain in vectors["chains"]:
        check_chain(n, chain)
    foreign = {"gmpy2", "accumulator"} & set(sys.modules)
    same("foreign modules", foreign, set())
    print(f"{len(vectors['chains'])} chains agree")


if __name__ == "__main__":
    main()
