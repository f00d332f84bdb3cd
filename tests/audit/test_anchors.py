"""Statements of one chain and number are compared wherever they stand."""

import pytest
from statements import Signers, altered, make_statement

from audit.anchors import Sighting, check_signatures, compare
from audit.errors import Check, Conflict, Invalid, Untrusted, Unverifiable
from protocol.anchors import LatestAnchor, SignedStatement

MAIN, EDGE = Signers("main"), Signers("edge-a")
ROSTERS = {"main": MAIN.roster, "edge-a": EDGE.roster}


def seen(holder, signers, number, **kind):
    return Sighting(holder, signers.sign(make_statement(signers.chain, number, **kind)))


def recomputed(signers, number, **kind):
    statement = make_statement(signers.chain, number, **kind)
    return Sighting(signers.chain, SignedStatement(statement, ()))


def honest():
    return [
        *(recomputed(MAIN, number) for number in (1, 2)),
        *(seen(edge, MAIN, number) for number in (1, 2) for edge in ("edge-a", "edge-b")),
        *(recomputed(EDGE, number) for number in (1, 2, 3)),
        *(seen("main", EDGE, number) for number in (1, 2)),
    ]


def test_what_agrees_is_counted():
    report = compare(honest(), ROSTERS)
    assert (report.statements, report.sightings) == (5, 11)
    assert report.heads == {"edge-a": {"edge-a": 3, "main": 2}, "main": {"edge-a": 2, "edge-b": 2, "main": 2}}


def test_main_rewritten_with_all_its_keys_conflicts_with_what_edges_hold():
    forged = [one for one in honest() if one.holder != "edge-b" or one.key[0] != "main"]
    forged += [seen("edge-b", MAIN, number, seed=b"forged") for number in (1, 2)]
    with pytest.raises(Conflict) as refusal:
        compare(forged, ROSTERS)
    assert refusal.value.check is Check.CONFLICT
    assert refusal.value.where == "main anchor 1, main anchor 2"
    assert [len(one.signatures) for one in refusal.value.evidence] == [2, 2, 2, 2]
    for one in refusal.value.evidence:
        check_signatures(one, MAIN.roster, "")


def test_an_edge_rewritten_with_all_its_keys_conflicts_with_main():
    forged = [one for one in honest() if one.holder != "edge-a" or one.key[0] != "edge-a"]
    forged += [recomputed(EDGE, number, seed=b"forged") for number in (1, 2)]
    with pytest.raises(Conflict) as refusal:
        compare(forged, ROSTERS)
    assert refusal.value.where == "edge-a anchor 1, edge-a anchor 2"


def test_a_chain_cut_short_is_a_rollback():
    short = [one for one in honest() if not (one.holder == "edge-a" and one.key >= ("edge-a", 2))]
    short = [
        one for one in short if not (one.holder == "edge-a" and one.key[0] == "edge-a" and one.key[1] > 1)
    ]
    short += [seen("edge-a", MAIN, number) for number in (1, 2)]
    with pytest.raises(Invalid) as refusal:
        compare(short, ROSTERS)
    assert refusal.value.check is Check.ROLLBACK


def test_mains_list_of_heads_is_compared_too():
    statement = make_statement("main", 3)
    listing = altered(statement, latest=(LatestAnchor("edge-a", 2, b"\x09" * 32),))
    with pytest.raises(Conflict) as refusal:
        compare([*honest(), Sighting("main", SignedStatement(listing, ()))], ROSTERS)
    assert refusal.value.where == "main anchor 3"


@pytest.mark.parametrize("fields", [{"first": 20}, {"value_before": b"\x01" * 256}, {"height": 20}])
def test_statements_must_continue_one_another(fields):
    third = altered(make_statement("main", 3), **fields)
    with pytest.raises(Invalid) as refusal:
        compare([*honest(), Sighting("main", SignedStatement(third, ()))], ROSTERS)
    assert refusal.value.check is Check.ANCHOR_LINKAGE


def test_signatures_are_checked_wherever_a_statement_was_accepted():
    bare = SignedStatement(make_statement("main", 1), ())
    with pytest.raises(Invalid) as refusal:
        compare([Sighting("edge-a", bare)], ROSTERS)
    assert refusal.value.check is Check.ANCHOR_SIGNATURE
    stranger = Signers("main", ("Org8MSP", "Org9MSP"))
    with pytest.raises(Untrusted) as refusal:
        compare([seen("edge-a", stranger, 1)], ROSTERS)
    assert refusal.value.exit_code == 4
    namesake = Signers("main")
    with pytest.raises(Invalid) as refusal:
        compare([seen("edge-a", namesake, 1)], ROSTERS)
    assert refusal.value.exit_code == 1


def test_nothing_to_compare_or_an_unknown_chain_cannot_be_verified():
    with pytest.raises(Unverifiable):
        compare([], ROSTERS)
    with pytest.raises(Unverifiable):
        compare([recomputed(MAIN, 1)], {})
