"""Every field of a proof is altered in turn, and the proof refused."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from contract_chains import Anchored, carry, proof_of, signature
from contract_people import Interlocked
from contract_training import aggregator, example_run

from accumulator import hash_to_prime
from chaincode.api import AdoptRun, CreateRun, CrossChainProof, Rebase
from chaincode.errors import BadCrossChainProof, ContractError, NotFound, StaleAnchor, UnknownSource
from protocol.commitments import rebase_bytes


def created(chains: Interlocked) -> tuple[Anchored, CrossChainProof]:
    pending = chains.main.commit(chains.main.simulate(CreateRun(example_run()), aggregator("Cloud1")))
    anchored = chains.main.anchor()
    carry(anchored, chains.a)
    return anchored, proof_of(anchored, pending.transaction)


def refused(chains: Interlocked, proof: CrossChainProof) -> ContractError:
    with pytest.raises(ContractError) as caught:
        chains.a.submit(AdoptRun(proof), chains.a.relay)
    return caught.value


def test_each_altered_field_is_refused(chains: Interlocked) -> None:
    anchored, proof = created(chains)
    modulus = chains.main.parameters.modulus.n
    width = chains.main.parameters.value_bytes
    negative = (modulus - int.from_bytes(proof.witness, "big")).to_bytes(width, "big")
    changes: dict[str, list[object]] = {
        "chain": ["edge-b", "", "Main"],
        "anchor": [2, 0, -1],
        "number": [proof.number + 1, proof.number - 1, 0, -1, anchored.statement.last + 1],
        "block": [proof.block + 1, -1, anchored.statement.height],
        "index": [1, -1],
        "code": [1, 11, -1],
        "envelope_hash": [b"\x00" * 32, b"", proof.envelope_hash + b"\x00"],
        "payload": [proof.payload.replace("digits", "digitz"), "", proof.payload + " ", "\x00"],
        "offset": [proof.offset + 2, proof.offset - 2, -1, 2**40],
        "witness": [b"", proof.witness[:-1], negative, anchored.statement.value_after, b"\x00" * width],
    }
    assert changes.keys() == {field.name for field in fields(CrossChainProof)}
    for name, values in changes.items():
        for value in values:
            error = refused(chains, replace(proof, **{name: value}))
            expected = NotFound if name == "anchor" else BadCrossChainProof
            assert type(error) is expected, (name, value, error)
    chains.a.submit(AdoptRun(proof), chains.a.relay)


def test_an_invalid_transaction_proves_nothing(chains: Interlocked) -> None:
    pending = chains.main.commit(chains.main.simulate(CreateRun(example_run()), aggregator("Cloud1")))
    chains.main.codes[pending.transaction] = 11  # MVCC_READ_CONFLICT
    anchored = chains.main.anchor()
    carry(anchored, chains.a)
    proof = proof_of(anchored, pending.transaction)
    assert proof.code == 11
    assert "code 11" in str(refused(chains, proof))


def test_a_composite_of_two_elements_is_no_member(chains: Interlocked) -> None:
    anchored, proof = created(chains)
    other = anchored.elements[0]
    # The root of two primes at once: a witness for their product is none for either.
    first = hash_to_prime(other.digest()).prime
    witness = int.from_bytes(proof.witness, "big")
    parameters = chains.main.parameters
    both = parameters.group.power(witness, first)
    raw = both.to_bytes(parameters.value_bytes, "big")
    assert type(refused(chains, replace(proof, witness=raw))) is BadCrossChainProof


def test_a_proof_holds_against_the_covering_anchor_only(chains: Interlocked) -> None:
    _, proof = created(chains)
    carry(chains.main.anchor(), chains.a)
    assert "covers" in str(refused(chains, replace(proof, anchor=2)))


def test_an_unregistered_chain_proves_nothing(chains: Interlocked) -> None:
    chains.a.world.values.pop("source/main")
    pending = chains.main.commit(chains.main.simulate(CreateRun(example_run()), aggregator("Cloud1")))
    proof = proof_of(chains.main.anchor(), pending.transaction)
    assert type(refused(chains, proof)) is UnknownSource


def test_a_superseded_anchor_proves_nothing(chains: Interlocked) -> None:
    anchored, proof = created(chains)
    right = replace(anchored.statement, number=2, header_hash=b"\x05" * 32)
    head = anchored.statement.digest()
    message = rebase_bytes(head, right.digest())
    signatures = tuple(signature(msp_id, message) for msp_id in ("Cloud1", "Cloud2"))
    chains.a.submit(Rebase(right, 0, head, signatures), chains.a.relay)
    assert type(refused(chains, proof)) is StaleAnchor
    chains.a.submit(AdoptRun(replace(proof, anchor=2)), chains.a.relay)


def test_only_immutable_state_is_read(chains: Interlocked) -> None:
    _, proof = created(chains)
    pending = chains.a.simulate(AdoptRun(proof), chains.a.relay)
    assert pending.simulation.reads.keys() == {
        "source/main",
        "anchor/main/1",
        "rebased/main",
        "run/digits",
    }
    assert not pending.simulation.ranges
