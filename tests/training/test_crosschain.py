"""Another chain's transaction: every field of the proof is bound, and only what is held here counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from training_play import ArithmeticWorker, Play, stage
from world import MAIN

from chaincode.api import Attest, CreateRun, CrossChainProof
from ledger.errors import ContractRefused
from training.chainview import ChainView
from training.crosschain import verify_cross_chain
from training.errors import NotYet, UnprovenInput


@pytest.fixture(scope="module")
def proved(tmp_path_factory) -> tuple[Play, CrossChainProof]:
    """The run's creation on main, proved to edge-a."""
    play = stage(tmp_path_factory.mktemp("world"), ArithmeticWorker(), edges=("edge-a",))
    play.world.interlock()
    view = ChainView(play.world.ledgers[MAIN])
    view.sync()
    created = view.run("run-1")
    yield play, play.world.prover.cross_chain_proof(MAIN, created.transaction, holder="edge-a")
    play.world.close()


def test_a_proof_shows_the_result(proved):
    play, proof = proved
    assert verify_cross_chain(play.world.ledgers["edge-a"], proof, CreateRun) == play.run


@pytest.mark.parametrize(
    "change",
    [
        lambda p: {"number": p.number + 1},
        lambda p: {"number": p.number - 1},
        lambda p: {"number": 0},
        lambda p: {"number": -1},
        lambda p: {"number": 10**9},
        lambda p: {"block": p.block + 1},
        lambda p: {"index": p.index + 1},
        lambda p: {"index": -1},
        lambda p: {"code": 11},
        lambda p: {"envelope_hash": bytes(32)},
        lambda p: {"payload": p.payload.replace("run-1", "run-2")},
        lambda p: {"payload": ""},
        lambda p: {"offset": p.offset + 2},
        lambda p: {"offset": -1},
        lambda p: {"witness": b""},
        lambda p: {"witness": p.witness[:-1] + bytes([p.witness[-1] ^ 1])},
        lambda p: {"witness": bytes(len(p.witness))},
    ],
)
def test_every_field_is_bound(proved, change):
    play, proof = proved
    with pytest.raises(UnprovenInput):
        verify_cross_chain(play.world.ledgers["edge-a"], replace(proof, **change(proof)), CreateRun)


def test_another_functions_result_does_not_pass(proved):
    play, proof = proved
    with pytest.raises(UnprovenInput):
        verify_cross_chain(play.world.ledgers["edge-a"], proof, Attest)


def test_an_anchor_that_has_not_arrived_is_awaited(proved):
    play, proof = proved
    with pytest.raises(NotYet, match="has not reached edge-a"):
        verify_cross_chain(play.world.ledgers["edge-a"], replace(proof, anchor=proof.anchor + 1), CreateRun)


def test_an_unknown_chain_is_no_matter_of_waiting_for_long(proved):
    play, proof = proved
    with pytest.raises((NotYet, ContractRefused)):
        verify_cross_chain(play.world.ledgers["edge-a"], replace(proof, chain="edge-z"), CreateRun)
