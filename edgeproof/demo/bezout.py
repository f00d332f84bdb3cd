"""The Bézout attack on the paper's batch equation (1), put into a bundle."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from accumulator import Parameters, hash_to_prime, paper
from edgeproof.demo.scene import Scene
from edgeproof.errors import DemoError
from protocol.bundle import Bundle, ProvenElement, parse_bundle, serialise_bundle
from protocol.elements import Element
from protocol.encodings import sha256

__all__ = ["forge_membership"]


def forge_membership(scene: Scene) -> list[str]:
    """Two fake transactions with forged witnesses that the paper's equation (1) accepts together."""
    bundle = parse_bundle(scene.bundle.read_bytes())
    first, second = _under_two_values(bundle)
    fakes = [
        dataclasses.replace(one, envelope_hash=sha256(b"fake" + one.envelope_hash)) for one in (first, second)
    ]
    parameters = [Parameters(scene.deployment.modulus, one.chain) for one in fakes]
    representatives = [hash_to_prime(_digest(one)) for one in fakes]
    values = [_value(bundle, one) for one in fakes]
    primes = [one.prime for one in representatives]
    modulus = parameters[0].modulus.n
    forged = paper.bezout_forgery(modulus, (values[0], values[1]), (primes[0], primes[1]))
    if not paper.equation_1(modulus, forged, primes, values):
        raise DemoError("the paper's batch equation does not accept the forgery")
    changed = {
        (fake.chain, fake.number): dataclasses.replace(
            fake, offset=representative.offset, witness=_witness(parameters[0], witness)
        )
        for fake, representative, witness in zip(fakes, representatives, forged, strict=True)
    }
    elements = tuple(changed.get((one.chain, one.number), one) for one in bundle.elements)
    target = scene.folder / "bezout.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(serialise_bundle(dataclasses.replace(bundle, elements=elements)))
    return ["audit", "bundle", str(target), "--trust", str(scene.trust)]


def _under_two_values(bundle: Bundle) -> Sequence[ProvenElement]:
    """Two elements under different accumulator values."""
    first = bundle.elements[0]
    for other in bundle.elements[1:]:
        if (other.chain, other.anchor) != (first.chain, first.anchor):
            return first, other
    raise DemoError("the bundle has elements of one anchor only")


def _value(bundle: Bundle, element: ProvenElement) -> int:
    for signed in bundle.statements:
        if (signed.statement.chain, signed.statement.number) == (element.chain, element.anchor):
            return int.from_bytes(signed.statement.value_after, "big")
    raise DemoError("the bundle lacks a statement")


def _digest(element: ProvenElement) -> bytes:
    return Element(
        element.chain,
        element.number,
        element.block,
        element.index,
        element.code,
        element.envelope_hash,
        sha256(element.payload.encode()),
    ).digest()


def _witness(parameters: Parameters, witness: int) -> bytes:
    return int(parameters.group.canonical(witness)).to_bytes(parameters.value_bytes, "big")
