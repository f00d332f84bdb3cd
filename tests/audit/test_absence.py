"""Absence: true ones verify, and no attack makes a present subject absent."""

from dataclasses import replace

import pytest
from audited import FakeReplayer, audited, make_stores, opener_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from world import MAIN, build_world

import accumulator
from audit.absence import read_absence, verify_absence
from audit.cli import make_apps
from audit.errors import AuditError, Check, Invalid, Untrusted, Unusable
from chaincode.api import DeviceStatus, OwnerAuthorisation, SetDeviceStatus
from ledger.port import call
from ledger.proof_errors import NotAbsent, NotIndexed, Pending
from protocol.absence import parse_absence, serialise_absence
from protocol.anchors import SignedStatement
from protocol.commitments import authorisation_bytes
from protocol.merkle import Frontier
from protocol.trust import serialise_trust

NOWHERE = "ab" * 32


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Edge-a with three anchors; in the second meter-1 is suspended, and two records come."""
    made = build_world(tmp_path_factory.mktemp("absence"))
    made.interlock()
    device = made.devices["edge-a", "meter-1"]
    made.submit_contents(device, [b"one", b"two"])
    made.submit_contents(device, [b"alone"])
    owner = made.owners[made.chains["edge-a"].organisations[0]]
    blank = SetDeviceStatus("meter-1", DeviceStatus.SUSPENDED, 2, OwnerAuthorisation(owner.algorithm, b""))
    proof = OwnerAuthorisation(owner.algorithm, owner.sign(authorisation_bytes("edge-a", blank)))
    call(made.ledgers["edge-a"], replace(blank, authorisation=proof))
    made.interlock()
    made.interlock()
    yield made
    made.close()


@pytest.fixture(scope="module")
def held(world):
    """Numbers of edge-a's anchors: the one with the suspension, and the newest."""
    index = world.indexes["edge-a"]
    carrying = index.covering(index.number_of(_suspension(index)))
    return carrying, index.anchor


def _suspension(index):
    for number in range(1, index.elements + 1):
        indexed = index.element(number)
        if indexed.function == SetDeviceStatus.FUNCTION:
            return indexed.transaction
    raise AssertionError


def check(world, proof):
    """The proof as a stranger reads it."""
    return verify_absence(read_absence(serialise_absence(proof)), world.trust())


def refused(world, proof, check_name, kind=Invalid):
    with pytest.raises(kind) as error:
        check(world, proof)
    assert error.value.check is check_name, error.value


@pytest.mark.parametrize("kind", ["record", "revocation", "model", "element"])
def test_what_is_nowhere_is_shown_absent(world, held, kind):
    subject = "meter-99" if kind == "revocation" else NOWHERE
    first = held[1] if kind == "element" else 1
    facts = check(world, world.prover.absence(kind, "edge-a", subject, first, held[1]))
    index = world.indexes["edge-a"]
    assert facts.anchors == (first, held[1])
    assert facts.elements == (index.statement(first).first, index.statement(held[1]).last)
    assert facts.records == (len(world.records["edge-a"]) if kind == "record" else 0)


def test_what_is_in_one_range_is_absent_from_the_others_alone(world, held):
    with_it, newest = held
    record = world.records["edge-a"][-1].hex()
    for kind, subject in (("revocation", "meter-1"), ("record", record)):
        assert check(world, world.prover.absence(kind, "edge-a", subject, with_it + 1, newest))
        assert check(world, world.prover.absence(kind, "edge-a", subject, 1, with_it - 1))
        for first, last in ((with_it, with_it), (1, newest)):
            with pytest.raises(NotAbsent):
                world.prover.absence(kind, "edge-a", subject, first, last)
    digest = world.indexes["edge-a"].element(1).element.digest().hex()
    with pytest.raises(NotAbsent):
        world.prover.absence("element", "edge-a", digest, 1, 1)
    assert check(world, world.prover.absence("element", "edge-a", digest, 2, 2))


def test_a_models_digest_is_found_wherever_a_payload_names_it(world, held):
    index = world.indexes["edge-a"]
    payload = index.element(index.statement(held[0]).last).payload
    named = next(payload[at : at + 64] for at in range(len(payload)) if _is_digest(payload[at : at + 64]))
    with pytest.raises(NotAbsent):
        world.prover.absence("model", "edge-a", named.decode(), held[0], held[0])


def _is_digest(raw):
    return len(raw) == 64 and all(byte in b"0123456789abcdef" for byte in raw)


def test_main_can_be_asked_too_and_what_is_not_there_is_said(world):
    assert check(world, world.prover.absence("model", MAIN, NOWHERE, 1, 2))
    for first, last in ((0, 1), (2, 1), (1, 999)):
        with pytest.raises(NotIndexed):
            world.prover.absence("model", "edge-a", NOWHERE, first, last)
    with pytest.raises(NotIndexed):
        world.prover.absence("model", "nowhere", NOWHERE, 1, 1)


def test_an_anchor_that_nobody_else_holds_is_pending(tmp_path):
    world = build_world(tmp_path, ("edge-a",))
    number = world.cut("edge-a").statement.number
    with pytest.raises(Pending):
        world.prover.absence("record", "edge-a", NOWHERE, number, number)
    world.close()


# ------------------------------------------------------------------ attacks


@pytest.fixture(scope="module")
def honest(world, held):
    """Of something absent, over the ranges that hold the suspension and the records."""
    return world.prover.absence("record", "edge-a", NOWHERE, 1, held[1])


def test_asking_for_another_subject_than_was_looked_for(world, honest):
    record = world.records["edge-a"][-1].hex()
    refused(world, replace(honest, subject=record), Check.SUBJECT)
    suspended = replace(honest, kind="revocation", subject="meter-1", batches=())
    refused(world, suspended, Check.SUBJECT)


def test_hiding_the_element_that_carries_it(world, honest):
    elements = honest.elements
    carrying = next(at for at, one in enumerate(elements) if b"devices:setStatus" in one.payload)
    hidden = replace(honest, kind="revocation", subject="meter-1", batches=())
    blank = replace(elements[carrying], payload=b"")
    other = replace(elements[carrying], payload=elements[carrying].payload.replace(b"meter-1", b"meter-2"))
    refusing = replace(elements[carrying], code=11)
    for changed in (blank, other, refusing, elements[carrying - 1]):
        kept = (*elements[:carrying], changed, *elements[carrying + 1 :])
        refused(world, replace(hidden, elements=kept), Check.ELEMENT)
    cut = (*elements[:carrying], *elements[carrying + 1 :])
    refused(world, replace(hidden, elements=cut), Check.MISSING)
    swapped = list(elements)
    swapped[carrying], swapped[carrying - 1] = swapped[carrying - 1], swapped[carrying]
    refused(world, replace(hidden, elements=tuple(swapped)), Check.ELEMENT)


def test_putting_the_element_before_the_range_by_another_frontier(world, held):
    """The frontier is the prover's word until the signed root comes out of it."""
    with_it, newest = held
    later = world.prover.absence("revocation", "edge-a", "meter-1", with_it + 1, newest)
    wrong = Frontier()
    for number in range(len(later.frontier)):
        wrong.append(bytes([number]))
    nodes = (b"\x05" * 32, *later.frontier[1:])
    refused(world, replace(later, frontier=nodes), Check.ELEMENT)
    refused(world, replace(later, frontier=later.frontier[:-1]), Check.ELEMENT)
    refused(world, replace(later, frontier=(*later.frontier, bytes(32))), Check.ELEMENT)


def test_hiding_a_record_in_its_batch(world, honest):
    record = world.records["edge-a"][-3]  # the first of the batch of two
    at = next(
        at for at, batch in enumerate(honest.batches) if any(one.record == record for one in batch.leaves)
    )
    batch = honest.batches[at]
    asked = replace(honest, subject=record.hex())

    def with_batch(*batches):
        return replace(asked, batches=(*honest.batches[:at], *batches, *honest.batches[at + 1 :]))

    refused(world, with_batch(), Check.MISSING)
    refused(world, with_batch(replace(batch, leaves=batch.leaves[1:])), Check.BATCH_PATH)
    renamed = replace(batch.leaves[0], record=bytes(32))
    refused(world, with_batch(replace(batch, leaves=(renamed, *batch.leaves[1:]))), Check.BATCH_PATH)
    refused(world, with_batch(replace(batch, leaves=batch.leaves[::-1])), Check.BATCH_PATH)
    refused(world, with_batch(batch, batch), Check.MISSING)
    moved = replace(batch, number=batch.number + 1)
    refused(world, with_batch(moved), Check.MISSING)


def test_a_range_that_is_not_the_anchors(world, held, honest):
    """Elements under the statements of another range, statements in another order or of another chain."""
    with_it, newest = held
    one = world.prover.absence("revocation", "edge-a", "meter-1", with_it + 1, newest)
    first = honest.statements[0]
    refused(world, replace(one, statements=(first, one.statements[-1])), Check.MISSING)
    refused(world, replace(honest, statements=honest.statements[::-1]), Check.ANCHOR_LINKAGE)
    refused(world, replace(honest, statements=(first, first)), Check.ANCHOR_LINKAGE)
    refused(world, replace(honest, chain="edge-b"), Check.SUBJECT)


def test_a_statement_without_its_quorum(world, honest):
    first, last = honest.statements
    alone = SignedStatement(last.statement, last.signatures[:1])
    refused(world, replace(honest, statements=(first, alone)), Check.ANCHOR_SIGNATURE)
    short = replace(last.statement, last=last.statement.last - 1)
    forged = SignedStatement(short, last.signatures)
    refused(world, replace(honest, statements=(first, forged)), Check.ANCHOR_SIGNATURE)
    stranger = replace(last.signatures[0], msp_id="nobody")
    signed = SignedStatement(last.statement, (stranger, last.signatures[1]))
    refused(world, replace(honest, statements=(first, signed)), Check.ANCHOR_SIGNATURE, Untrusted)


def test_another_deployments_proof_is_untrusted_and_not_forged(world, honest, tmp_path):
    """Its chains and organisations have the same names."""
    other = build_world(tmp_path)
    for kind in ("record", "element"):
        own = world.prover.absence(kind, "edge-a", NOWHERE, 1, 1)
        with pytest.raises(Untrusted) as error:
            verify_absence(read_absence(serialise_absence(own)), other.trust())
        assert (error.value.check, error.value.exit_code) == (Check.TRUST, 4)
    # Who says that it is this one's gains nothing by it.
    genesis = {one.chain: one.genesis_hash for one in other.trust().chains}["edge-a"]
    with pytest.raises(Invalid) as error:
        verify_absence(replace(honest, genesis=genesis), other.trust())
    assert error.value.check is Check.ANCHOR_SIGNATURE
    refused(world, replace(honest, genesis=genesis), Check.TRUST, Untrusted)
    other.close()


def test_an_element_that_is_there_is_not_shown_absent_by_the_accumulator(world, held):
    """With another element's proof, another range's, another context's, and a later prime of the window."""
    index = world.indexes["edge-a"]
    statement = index.statement(held[0])
    present = index.element(statement.first).element.digest().hex()
    other = world.prover.absence("element", "edge-a", NOWHERE, held[0], held[0])
    refused(world, replace(other, subject=present), Check.MEMBERSHIP)
    elsewhere = world.prover.absence("element", "edge-a", present, held[1], held[1])
    refused(world, replace(elsewhere, statements=other.statements), Check.MEMBERSHIP)
    refused(
        world,
        replace(other, subject=present, non_membership=elsewhere.non_membership),
        Check.MEMBERSHIP,
    )
    # Against the value before the range itself, whose roots everybody knows who followed the chain.
    primes = index.primes(1, statement.last)
    parameters = index.parameters
    since_start = accumulator.prove_non_membership(parameters, primes, bytes.fromhex(NOWHERE))
    raw = accumulator.encode_non_membership(parameters, since_start)
    refused(world, replace(other, non_membership=raw), Check.MEMBERSHIP)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_bytes_never_verify_and_never_crash(world, honest, data):
    raw = serialise_absence(honest)
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
    with pytest.raises(AuditError):
        verify_absence(read_absence(raw[:at] + bytes([changed]) + raw[at + 1 :]), world.trust())


def test_one_encoding(honest):
    raw = serialise_absence(honest)
    assert parse_absence(raw) == honest
    for other in (raw + b"\n", raw[:-1], raw.replace(b'"kind":', b'"kinds":')):
        with pytest.raises(Invalid) as error:
            read_absence(other)
        assert error.value.check in (Check.CANONICAL, Check.SCHEMA)
    for other in (raw.replace(b"absence/v1", b"absence/v2"), b"", b"[]"):
        with pytest.raises(Unusable, match="not an absence proof"):
            read_absence(other)


# ------------------------------------------------------------------ the commands


def test_commands(world, held, tmp_path):
    system = audited(world, make_stores(world, tmp_path / "stores"), FakeReplayer())
    app, _ = make_apps(opener_of(system))
    trust, file = tmp_path / "trust.json", tmp_path / "absence.json"
    trust.write_bytes(serialise_trust(world.trust()))

    def run(*arguments):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    state = ("--state", tmp_path / "state.json")
    newest = held[1]
    code, said = run(
        "absent", "revocation", "edge-a", "meter-2", "--from", 1, "--to", newest, "--out", file, *state
    )
    assert (code, "not on edge-a in anchors 1 to" in said) == (0, True), said
    assert "under the deployment's own trust root" in said
    code, said = run("absence", file, "--trust", trust, *state)
    assert (code, "elements 1 to" in said, "own trust root" in said) == (0, True, False), said
    code, said = run("absence", trust, "--trust", trust)
    assert (code, "this is a trust root, not an absence proof" in said) == (2, True), said
    code, said = run("absent", "revocation", "edge-a", "meter-1", "--from", held[0])
    assert (code, "not absent" in said) == (1, True), said
    assert run("absent", "element", "edge-a", NOWHERE, "--from", 1)[0] == 0
    assert run("absent", "element", "edge-a", NOWHERE, "--from", 1, "--to", 2)[0] == 2
    assert run("absent", "record", "edge-a", "xyz", "--from", 1)[0] == 2
    code, said = run("absent", "record", "edge-a", NOWHERE, "--from", 2, "--to", 1)
    assert (code, "anchor 1 comes before anchor 2" in said) == (2, True), said
    assert run("absent", "revocation", "edge-a", "Meter 1!", "--from", 1)[0] == 2
    for far in (999, 99999999999999999999):
        code, said = run("absent", "record", "edge-a", NOWHERE, "--from", far)
        assert (code, f"it has 1 to {newest}" in said) == (3, True), said
        assert run("absent", "record", "edge-a", NOWHERE, "--from", 1, "--to", far)[0] == 3
    file.write_bytes(file.read_bytes().replace(b"meter-2", b"meter-1"))
    assert run("absence", file, "--trust", trust)[0] == 1
