"""The auditor's memory only grows and refuses contradictions."""

import multiprocessing
import stat
from dataclasses import replace

import pytest
from statements import Signers, altered, make_chain_trust, make_statement

from audit.errors import Check, Conflict, Invalid, Unusable
from audit.state import AuditState, load_state, remember, save_state
from protocol.trust import TRUST_SCHEMA, TrustRoot

SIGNERS = Signers("edge-a")
TRUST = TrustRoot(TRUST_SCHEMA, "main", tuple(map(make_chain_trust, ("edge-a", "edge-b", "main"))))
EMPTY = AuditState().under(TRUST)


def signed(number, **kind):
    return SIGNERS.sign(make_statement("edge-a", number, **kind))


def test_the_newest_statement_is_kept_and_older_ones_are_no_rollback():
    state = EMPTY.admit([signed(2), signed(5)]).admit([signed(1)])
    (known,) = state.chains
    assert known.newest.statement.number == 5
    assert [one.number for one in known.seen] == [1, 2, 5]
    assert state.admit([signed(2)]) == state


def test_another_statement_with_a_seen_number_is_a_conflict_with_both_signatures():
    state = EMPTY.admit([signed(1), signed(2)])
    with pytest.raises(Conflict) as refusal:
        state.admit([signed(2, seed=b"forged")])
    assert refusal.value.check is Check.CONFLICT
    assert refusal.value.exit_code == 1
    assert [len(one.signatures) for one in refusal.value.evidence] == [2, 2]
    with pytest.raises(Conflict):
        state.admit([signed(1, seed=b"forged")])  # an older one is remembered by its digest


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (6, {"last": 49, "first": 51}),
        (6, {"first": 50}),
        (6, {"first": 52}),
        (7, {"first": 50, "last": 70}),
        (6, {"height": 50}),
        (4, {"last": 51}),
        (4, {"height": 50}),
        (4, {"last": 39}),
    ],
)
def test_a_statement_out_of_order_is_a_rollback(number, fields):
    state = EMPTY.admit([signed(5)])
    state.admit([signed(number)])
    with pytest.raises(Invalid) as refusal:
        state.admit([SIGNERS.sign(altered(make_statement("edge-a", number), **fields))])
    assert refusal.value.check is Check.ROLLBACK


def test_a_live_chain_may_not_show_fewer_anchors_than_were_seen():
    state = EMPTY.admit([signed(5)])
    state.check_head("edge-a", 5)
    state.check_head("edge-b", 0)
    with pytest.raises(Invalid) as refusal:
        state.check_head("edge-a", 4)
    assert refusal.value.check is Check.ROLLBACK


def test_the_file_is_private_and_survives(tmp_path):
    path = tmp_path / "state.json"
    assert load_state(path) == AuditState()
    state = remember(path, TRUST, [signed(1)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_state(path) == state
    with pytest.raises(Conflict):
        remember(path, TRUST, [signed(1, seed=b"forged")])
    assert load_state(path) == state
    assert {one.name for one in tmp_path.iterdir()} == {"state.json", "state.json.lock"}


def test_another_deployments_chains_of_the_same_names_are_no_conflict_but_a_mistake(tmp_path):
    path = tmp_path / "state.json"
    state = remember(path, TRUST, [signed(1)])
    mine, *others = TRUST.chains
    stranger = replace(TRUST, chains=(make_chain_trust("edge-a", b"\x01" * 32), *others))
    for refused in (
        lambda: remember(path, stranger, [signed(1, seed=b"theirs")]),
        lambda: state.extend(stranger),
        lambda: state.under(stranger),
    ):
        with pytest.raises(Unusable, match=r"edge-a: .*another deployment's chain") as refusal:
            refused()
        assert (refusal.value.exit_code, refusal.value.check) == (2, Check.STATE)
    assert load_state(path) == state
    # Of the same deployment, fewer chains and more are fine.
    assert state.under(replace(TRUST, chains=(mine, others[-1]))) == state
    assert state.under(replace(TRUST, chains=(*TRUST.chains, make_chain_trust("new")))) != state


def test_a_damaged_file_is_a_usage_error_and_left_alone(tmp_path):
    path = tmp_path / "state.json"
    save_state(path, EMPTY.admit([signed(1)]))
    raw = path.read_bytes()
    path.write_bytes(raw[:-5])
    with pytest.raises(Unusable) as refusal:
        remember(path, TRUST, [signed(2)])
    assert refusal.value.exit_code == 2
    assert path.read_bytes() == raw[:-5]
    path.write_bytes(raw.replace(b'"number":1', b'"number":2', 1))
    with pytest.raises(Unusable):
        load_state(path)


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(Unusable):
        remember(tmp_path / "absent" / "state.json", TRUST, [signed(1)])
    with pytest.raises(Unusable):
        save_state(tmp_path / "absent" / "state.json", AuditState())


def _remember_one(path, raw):
    from protocol.anchors import SignedStatement
    from protocol.encodings import decode

    remember(path, TRUST, [decode(SignedStatement, raw)])


def test_two_audits_at_once_lose_nothing(tmp_path):
    from protocol.encodings import encode

    path = tmp_path / "state.json"
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_remember_one, args=(path, encode(signed(number)))) for number in range(1, 9)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert [one.number for one in load_state(path).chains[0].seen] == list(range(1, 9))
