"""``recompute``: exact odds, steps proved before the draw, and no verdict where nothing was computed."""

import json
from dataclasses import replace

import pytest
from audit_commands import Commands
from audited import FakeReplayer, audited

from audit.spotcheck import commit_nonce
from chaincode.api import GetRecord, GetStep
from chaincode.payloads import decode_result, encode_result
from ledger.index import ChainIndex
from protocol.encodings import sha256
from store import NotFound


def with_weights(world, system):
    """Stores that hold a snapshot under every tree address (stand-ins: the address is no hash of it)."""

    class Trees:
        def __init__(self, inner):
            self.inner = inner

        def get(self, address):
            return self.inner.get(address)

        def get_tree(self, address):
            return b"weights " + address

        def has_tree(self, address):
            return True

    return {chain: Trees(store) for chain, store in system.stores.items()}


def recomputing(world, system, replayer):
    return Commands(audited(world, with_weights(world, system), replayer))


def test_a_spot_check_states_the_exact_odds(world, system):
    replayer = FakeReplayer()
    commands = recomputing(world, system, replayer)
    code, output = commands.run(commands.audit, "recompute", "digits", "--sample", 2, "--json")
    value = json.loads(output)
    assert (code, value["population"], value["sample"]) == (0, 6, 2)
    assert value["detection"] == {"numerator": 1, "denominator": 3}
    assert [one["verdict"] for one in value["drawn"]] == ["equal", "equal"]
    step, parent, aggregate, data, claimed = replayer.asked[0]
    assert (parent, aggregate) == (b"weights " + step.parent, b"weights " + step.aggregate)
    assert claimed == b"weights " + step.result
    edge = value["drawn"][0]["chain"]
    assert len(data) == step.examples == len(world.records[edge])
    assert set(data) <= set(world.contents.values())
    assert commands.run(commands.recompute, "digits", "--sample", 6)[0] == 0


def test_under_a_trust_root_the_steps_are_proved_before_they_are_drawn(world, system, files):
    commands = recomputing(world, system, FakeReplayer())
    words = ("recompute", "digits", "--sample", 6, "--trust", files / "trust.json")
    code, output = commands.run(commands.audit, *words, "--json")
    value = json.loads(output)
    assert (code, value["population"], value["proven"]) == (0, 6, True)
    assert not json.loads(commands.run(commands.audit, *words[:4], "--json")[1])["proven"]


def test_under_a_trust_root_a_process_that_has_read_no_chain_yet_reads_them(world, system, files, tmp_path):
    """As the command line does, whose indexes are as old as its last run."""
    fresh = {
        chain: ChainIndex(ledger, world.parameters[chain], tmp_path / chain)
        for chain, ledger in world.ledgers.items()
    }
    try:
        system = replace(audited(world, with_weights(world, system), FakeReplayer()), indexes=fresh)
        words = ("recompute", "digits", "--sample", 6, "--trust", files / "trust.json", "--json")
        commands = Commands(system)
        code, output = commands.run(commands.audit, *words)
        assert (code, json.loads(output)["proven"]) == (0, True)
    finally:
        for index in fresh.values():
            index.close()


class Lying:
    """A chain that answers some queries as it likes."""

    def __init__(self, ledger, answers):
        self._ledger, self._answers = ledger, answers

    def __getattr__(self, name):
        return getattr(self._ledger, name)

    def evaluate(self, message):
        return self._answers(message, self._ledger.evaluate(message))


@pytest.mark.parametrize("lie", [GetStep, GetRecord])
def test_a_deployment_that_answers_falsely_is_not_believed_under_a_trust_root(world, system, files, lie):
    """Another commitment for a step, another digest for a reading: the chain's own anchors say otherwise."""

    def answers(message, payload):
        if not isinstance(message, lie):
            return payload
        result = decode_result(lie, payload)
        if lie is GetStep:
            return encode_result(lie.FUNCTION, replace(result, commitment=b"\x01" * 32))
        reading = replace(result.leaf.reading, content_digest=sha256(b"another"))
        return encode_result(lie.FUNCTION, replace(result, leaf=replace(result.leaf, reading=reading)))

    replayer = FakeReplayer()
    ledgers = {chain: Lying(ledger, answers) for chain, ledger in world.ledgers.items()}
    stores = with_weights(world, system)
    commands = Commands(replace(audited(world, stores, replayer), ledgers=ledgers))
    words = ("recompute", "digits", "--sample", 6)
    believed = commands.run(commands.audit, *words)
    assert believed[0] == 1, "without a trust root the answers are taken as they are"
    code, output = commands.run(commands.audit, *words, "--trust", files / "trust.json")
    if lie is GetStep:
        assert (code, "another step than the anchored lineage" in output) == (1, True), output
    else:
        assert (code, "6 equal" in output) == (0, True), output


def test_a_false_step_is_caught_when_it_is_drawn(world, system):
    commands = recomputing(world, system, FakeReplayer(lambda step: step.number == 2))
    code, output = commands.run(commands.audit, "recompute", "digits", "--sample", 6)
    assert code == 1
    assert "step 2: the weights do not follow" in output
    assert "check spot-check" in output


def test_withheld_inputs_fail_the_spot_check(world, system):
    replayer = FakeReplayer()
    commands = Commands(audited(world, system.stores, replayer))  # no snapshot in any store
    code, output = commands.run(commands.audit, "recompute", "digits", "--sample", 1)
    assert (code, "an input is withheld" in output) == (1, True)
    assert replayer.asked == []


def test_a_withheld_data_set_fails_the_spot_check_under_a_trust_root_too(world, system, files):
    class Withholding:
        def __getattr__(self, name):
            return getattr(world.prover, name)

        def model_bundle(self, run, version):
            raise NotFound(b"\x06\xd1" * 16)

    withheld = replace(audited(world, system.stores, FakeReplayer()), prover=Withholding())
    commands = Commands(withheld)
    code, output = commands.run(commands.audit, "recompute", "digits", "--trust", files / "trust.json")
    assert (code, "an input is withheld" in output, "check spot-check" in output) == (1, True, True), output


def test_a_spot_check_that_cannot_be_made_is_no_verdict(world, system, commands):
    nobody = Commands(audited(world, system.stores, None))
    assert nobody.run(nobody.audit, "recompute", "digits")[0] == 5
    assert commands.run(commands.audit, "recompute", "other")[0] == 3
    assert commands.run(commands.audit, "recompute", "digits", "--sample", 7)[0] == 2
    assert commands.run(commands.audit, "recompute", "digits", "--sample", 0)[0] == 2


def test_a_public_draw_can_be_repeated_by_anybody(world, system):
    commands = recomputing(world, system, FakeReplayer())
    nonce = b"\x05" * 32
    public = ("--nonce", nonce.hex(), "--commitment", commit_nonce(nonce).hex(), "--block", 3, "--json")
    outcomes = {commands.run(commands.audit, "recompute", "digits", "--sample", 3, *public)[1] for _ in "12"}
    assert len(outcomes) == 1
    other = ("--nonce", nonce.hex(), "--commitment", "00" * 32, "--block", 3)
    assert commands.run(commands.audit, "recompute", "digits", *other)[0] == 1
    assert commands.run(commands.audit, "recompute", "digits", "--nonce", nonce.hex())[0] == 2
    far = ("--nonce", nonce.hex(), "--commitment", commit_nonce(nonce).hex(), "--block", 9999)
    assert commands.run(commands.audit, "recompute", "digits", *far)[0] == 3
