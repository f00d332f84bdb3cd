"""The golden vectors are what the code computes, and what plain integers compute without it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from accumulator import (
    ExponentiationProof,
    InvalidProof,
    check_certificate,
    decode_append_only,
    decode_non_membership,
    decode_value_hex,
    default_parameters,
    hash_to_prime,
    verify_aggregate,
    verify_append_only,
    verify_exponentiation,
    verify_membership,
    verify_non_membership,
    verify_range_non_membership,
)

FOLDER = Path(__file__).parent.parent / "vectors" / "accumulator"
VECTORS = json.loads((FOLDER / "vectors.json").read_text())


def check(*arguments):
    # -I -S: no site-packages and no current folder, so neither gmpy2 nor this project can be imported.
    return subprocess.run(
        [sys.executable, "-I", "-S", str(FOLDER / "check.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_independent_checker_agrees():
    done = check()
    assert (done.returncode, done.stdout) == (0, "2 chains agree\n"), done.stdout + done.stderr


def paths(node, prefix=()):
    """The path of every leaf below `node`."""
    if isinstance(node, dict):
        for key, child in node.items():
            yield from paths(child, (*prefix, key))
    elif isinstance(node, list):
        for index, child in enumerate(node):
            yield from paths(child, (*prefix, index))
    else:
        yield prefix


def changed(leaf):
    if isinstance(leaf, int):
        return leaf + 2
    return leaf[:-1] + ("1" if leaf[-1] != "1" else "2")


def test_the_generator_writes_what_is_committed():
    spec = importlib.util.spec_from_file_location("generate_accumulator_vectors", FOLDER / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.rendered() == (FOLDER / "vectors.json").read_text()


@pytest.mark.parametrize(
    "path",
    list(paths(VECTORS["chains"][1], ("chains", 1))),
    ids=lambda path: "/".join(map(str, path[2:])),
)
def test_the_checker_notices_any_change(path, tmp_path, checker):
    altered = json.loads(json.dumps(VECTORS))
    node = altered
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = changed(node[path[-1]])
    with pytest.raises((SystemExit, ValueError)):
        checker.check_chain(int(VECTORS["modulus"]["n"], 16), altered["chains"][1])


@pytest.fixture(scope="module")
def checker():
    spec = importlib.util.spec_from_file_location("check_accumulator_vectors", FOLDER / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("vector", VECTORS["chains"], ids=lambda vector: vector["chain"])
def test_our_verifiers_accept_the_vectors(vector):
    parameters = default_parameters(vector["chain"])
    middle, last = (decode_value_hex(parameters, vector[key]) for key in ("value_middle", "value_last"))
    assert parameters.digest.hex() == vector["parameters_digest"]
    primes = []
    for element in vector["elements"]:
        raw = bytes.fromhex(element["digest"])
        representative = hash_to_prime(raw)
        assert f"{representative.prime:x}" == element["prime"]
        assert representative.offset == element["offset"]
        primes.append(check_certificate(raw, element["offset"]))
    second = primes[vector["first_range"] :]
    for prime, text in zip(second, vector["witnesses_of_second_range"], strict=True):
        verify_membership(parameters, last, prime, decode_value_hex(parameters, text))
    proof = vector["aggregate"]
    witness, quotient = (decode_value_hex(parameters, proof[key]) for key in ("witness", "quotient_power"))
    verify_aggregate(parameters, last, second, witness, ExponentiationProof(quotient))
    proof = vector["exponentiation"]
    result, quotient = (decode_value_hex(parameters, proof[key]) for key in ("result", "quotient_power"))
    exponent, context = int(proof["exponent"], 16), bytes.fromhex(proof["context"])
    verify_exponentiation(parameters, middle, exponent, result, ExponentiationProof(quotient), context)
    context = bytes.fromhex(vector["append_only"]["context"])
    append_only = decode_append_only(parameters, bytes.fromhex(vector["append_only"]["proof"]))
    verify_append_only(parameters, middle, last, append_only, context)
    absence = vector["non_membership"]
    absent = bytes.fromhex(absence["digest"])
    of_range, of_chain = (
        decode_non_membership(parameters, bytes.fromhex(absence[key]))
        for key in ("of_second_range", "since_the_start")
    )
    verify_range_non_membership(parameters, middle, last, absent, of_range, append_only, context)
    verify_non_membership(parameters, last, absent, of_chain)
    with pytest.raises(InvalidProof):
        verify_non_membership(parameters, last, absent, of_range)
    with pytest.raises(InvalidProof):
        verify_append_only(parameters, last, middle, append_only, context)
