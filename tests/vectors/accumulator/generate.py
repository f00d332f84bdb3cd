"""Writes vectors.json: golden vectors of the accumulator, from its own code.

Run `python tests/vectors/accumulator/generate.py` from the repository's root after a deliberate change of a
wire constant. `check.py` recomputes everything in plain integers without this project's code.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import accumulator
from accumulator.primality import derived_base

TARGET = Path(__file__).with_name("vectors.json")

# OEIS A001262, A002997 and A217255: first terms as published.
STRONG_PSEUDOPRIMES_BASE_2 = [2047, 3277, 4033, 4681, 8321, 15841, 29341, 42799, 49141, 52633, 65281, 74665,
                              80581, 85489, 88357, 90751]  # fmt: skip
CARMICHAEL = [561, 1105, 1729, 2465, 2821, 6601, 8911, 10585, 15841, 29341, 41041, 46657, 52633, 62745, 63973,
              75361]  # fmt: skip
STRONG_LUCAS_PSEUDOPRIMES = [5459, 5777, 10877, 16109, 18971, 22499, 24569, 25199, 40309, 58519, 75077, 97439,
                             100127, 113573, 115639, 130139]  # fmt: skip
# Least strong pseudoprimes to the first k prime bases (OEIS A014233).
MANY_BASES = {
    "4": 3215031751, "5": 2152302898747, "6": 3474749660383, "8": 341550071728321, "11": 3825123056546413051,
    "12": 318665857834031151167461, "13": 3317044064679887385961981,
}  # fmt: skip
# Arnault 1995: p·(313(p - 1) + 1)·(353(p - 1) + 1), a strong pseudoprime to every prime base below 307.
ARNAULT_P = int(
    "29674495668685510550154174642905332730771991799853043350995075531276838753171770199594238596428121188033"
    "664754218345562493168782883"
)
PRIMES = {
    "2^255 - 19": 2**255 - 19,
    "P-256 field": 2**256 - 2**224 + 2**192 + 2**96 - 1,
    "2^521 - 1": 2**521 - 1,
    "2^256 - 189": 2**256 - 189,
}


def digest(label: str) -> bytes:
    """The 32-byte digest that stands for an element called `label`."""
    return hashlib.sha256(f"golden vector {label}".encode()).digest()


def chain_vectors(chain: str, count: int) -> dict[str, Any]:
    """Everything about one chain with `count` elements in two ranges."""
    parameters = accumulator.default_parameters(chain)
    encode = accumulator.encode_value_hex
    digests = [digest(f"{chain}/{number}") for number in range(1, count + 1)]
    primes = [accumulator.hash_to_prime(each).prime for each in digests]
    half = count // 2
    middle = accumulator.accumulate(parameters, parameters.generator, primes[:half])
    last = accumulator.accumulate(parameters, middle, primes[half:])
    witnesses = accumulator.all_membership_witnesses(parameters, middle, primes[half:])
    aggregate, aggregate_proof = accumulator.aggregate(parameters, primes[half:], witnesses, last)
    context = f"append-only {chain}".encode()
    append_only = accumulator.prove_append_only(parameters, middle, primes[half:], last, context)
    absent = digest(f"{chain}/absent")
    absence = accumulator.prove_range_non_membership(parameters, middle, primes[half:], last, absent, context)
    never = accumulator.prove_non_membership(parameters, primes, absent)
    exponent = int.from_bytes(hashlib.shake_256(chain.encode()).digest(100), "big")
    power, power_proof = accumulator.prove_exponentiation(parameters, middle, exponent, context)
    return {
        "chain": chain,
        "generator": encode(parameters, parameters.generator),
        "parameters_digest": parameters.digest.hex(),
        "elements": [
            {"digest": each.hex(), "prime": f"{rep.prime:x}", "offset": rep.offset}
            for each in digests
            for rep in [accumulator.hash_to_prime(each)]
        ],
        "first_range": half,
        "value_middle": encode(parameters, middle),
        "value_last": encode(parameters, last),
        "witnesses_of_second_range": [encode(parameters, witness) for witness in witnesses],
        "aggregate": {
            "witness": encode(parameters, aggregate),
            "quotient_power": encode(parameters, aggregate_proof.quotient_power),
        },
        "exponentiation": {
            "exponent": f"{exponent:x}",
            "context": context.hex(),
            "result": encode(parameters, power),
            "quotient_power": encode(parameters, power_proof.quotient_power),
        },
        "append_only": {
            "context": context.hex(),
            "proof": accumulator.encode_append_only(parameters, append_only).hex(),
        },
        "non_membership": {
            "digest": absent.hex(),
            "of_second_range": accumulator.encode_non_membership(parameters, absence).hex(),
            "since_the_start": accumulator.encode_non_membership(parameters, never).hex(),
        },
    }


def vectors() -> dict[str, Any]:
    """All golden vectors, ready for JSON."""
    n = accumulator.RSA_2048
    return {
        "modulus": {
            "n": f"{n:x}",
            "decimal_digits": 617,
            "digit_sum": 2738,
            "two_to_4096": f"{pow(2, 4096, n):x}",
        },
        "certificate_window": accumulator.CERTIFICATE_WINDOW,
        "primality": {
            "strong_pseudoprimes_base_2": STRONG_PSEUDOPRIMES_BASE_2,
            "carmichael": CARMICHAEL,
            "strong_lucas_pseudoprimes": STRONG_LUCAS_PSEUDOPRIMES,
            "strong_pseudoprimes_to_first_bases": {k: str(v) for k, v in MANY_BASES.items()},
            "arnault": str(ARNAULT_P * (313 * (ARNAULT_P - 1) + 1) * (353 * (ARNAULT_P - 1) + 1)),
            "primes": {name: f"{prime:x}" for name, prime in PRIMES.items()},
            "derived_bases": [
                {"n": f"{prime:x}", "bases": [f"{derived_base(prime, index):x}" for index in (0, 1)]}
                for prime in PRIMES.values()
            ],
        },
        "chains": [chain_vectors("edge-a", 6), chain_vectors("main", 4)],
    }


def rendered() -> str:
    """The file's text."""
    return json.dumps(vectors(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(rendered())
