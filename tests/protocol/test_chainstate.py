"""The fold from blocks to statements, against a slow model of its own."""

from dataclasses import replace
from functools import cache
from math import prod

import pytest
from fake_blocks import FakeChain, configuration, cut, envelope, make_block, result
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import (
    Modulus,
    Parameters,
    all_membership_witnesses,
    check_certificate,
    decode_value,
    hash_to_prime,
    prove_append_only,
    verify_append_only,
    verify_membership,
)
from protocol.anchors import AnchorStatement, LatestAnchor
from protocol.blocks import header_hash
from protocol.chainstate import ChainState, ChainStateSnapshot
from protocol.elements import element_of, is_news, views
from protocol.encodings import decode, encode
from protocol.errors import InvalidBlock, InvalidStatement, SchemaMismatch
from protocol.merkle import tree_root

# Factors 2^255 - 19 and 2^257 - 93: whoever reads this can forge, which is what a dealer for tests means.
MODULUS = Modulus((2**255 - 19) * (2**257 - 93), "dealer-for-tests")
GOOD = envelope("records:submitBatch", payload=result("records:submitBatch", {"count": 1, "root": "00" * 32}))
SIGN = envelope("interlock:sign", payload=result("interlock:sign", {}))


@cache
def parameters(chain: str) -> Parameters:
    return Parameters(MODULUS, chain)


def state(chain: str = "edge-a") -> ChainState:
    return ChainState(chain, parameters(chain))


def small_chain() -> FakeChain:
    """Configuration; two envelopes; cut 1; a signature; a record; cut 2 with a record behind it; a record."""
    chain = FakeChain()
    chain.add(configuration())
    chain.add(GOOD, SIGN, codes=[0, 11])
    chain.add(cut(1))
    chain.add(SIGN)
    chain.add(GOOD)
    chain.add(cut(2), GOOD)
    chain.add(GOOD)
    return chain


def model(chain: str, blocks, main: bool) -> list[AnchorStatement]:
    """All statements, each from block 0 again, with one power of the whole product from the generator."""
    given_parameters = parameters(chain)
    found: list[AnchorStatement] = []
    for block in blocks[1:]:
        height = block.header.number
        cuts = [
            view
            for view in views(block)
            if view.code == 0
            and view.payload == result("interlock:cut", {"number": len(found) + 1, "latest": []})
        ]
        if not cuts:
            continue
        seen = [view for earlier in blocks[:height] for view in views(earlier)]
        digests = [element_of(chain, at + 1, view).digest() for at, view in enumerate(seen)]
        primes = [hash_to_prime(digest).prime for digest in digests]
        first = found[-1].last + 1 if found else 1
        value = [
            given_parameters.group.power(given_parameters.generator, prod(primes[:count]))
            for count in (first - 1, len(primes))
        ]
        width = given_parameters.value_bytes
        found.append(
            AnchorStatement(
                chain=chain,
                number=len(found) + 1,
                first=first,
                last=len(digests),
                news=sum(is_news(view, main) for view in seen[first - 1 :]),
                height=height,
                header_hash=header_hash(blocks[height - 1].header),
                parameters=given_parameters.digest,
                value_before=value[0].to_bytes(width, "big"),
                value_after=value[1].to_bytes(width, "big"),
                tree_root=tree_root(digests),
                latest=(),
            )
        )
    return found


def feed_all(fold: ChainState, blocks) -> list[AnchorStatement]:
    return [statement for block in blocks for statement in fold.feed(block).statements]


def test_a_small_chain_by_hand():
    fold = state()
    first, second = feed_all(fold, small_chain().blocks)
    assert (first.number, first.first, first.last, first.news, first.height) == (1, 1, 3, 2, 2)
    assert (second.number, second.first, second.last, second.news, second.height) == (2, 4, 6, 1, 5)
    assert second.value_before == first.value_after
    assert decode_value(parameters("edge-a"), first.value_before) == parameters("edge-a").generator
    assert (fold.height, fold.elements, fold.anchor, fold.anchored, fold.news) == (7, 9, 2, 6, 2)
    assert len(fold.primes) == 3


def test_the_fold_equals_the_slow_model():
    blocks = small_chain().blocks
    assert feed_all(state(), blocks) == model("edge-a", blocks, main=False)
    assert feed_all(state("main"), blocks) == model("main", blocks, main=True)


kinds = st.sampled_from([GOOD, SIGN, configuration(), b"garbage", b"", envelope("interlock:accept"), "cut"])
plans = st.lists(
    st.lists(st.tuples(kinds, st.sampled_from([0, 0, 0, 11])), min_size=1, max_size=3),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30, deadline=None)
@given(plans, st.sampled_from(["main", "edge-a"]), st.data())
def test_any_chain_and_any_interruption(plan, name, data):
    chain, number = FakeChain(), 1
    chain.add(configuration())
    for entries in plan:
        chain.add(
            *(cut(number) if raw == "cut" else raw for raw, _ in entries), codes=[code for _, code in entries]
        )
        number += any(raw == "cut" and code == 0 for raw, code in entries)
    expected = model(name, chain.blocks, main=name == "main")
    assert len(expected) == number - 1
    stop = data.draw(st.integers(0, len(chain.blocks)))
    fold = state(name)
    before = feed_all(fold, chain.blocks[:stop])
    snapshot = decode(ChainStateSnapshot, encode(fold.snapshot()))
    assert snapshot == fold.snapshot()
    resumed = ChainState.restore(snapshot, parameters(name))
    assert before + feed_all(resumed, chain.blocks[stop:]) == expected
    whole = state(name)
    feed_all(whole, chain.blocks)
    assert resumed.snapshot() == whole.snapshot()


def test_ranges_carry_all_that_proofs_need():
    fold, digests = state(), []
    certificates = []
    for block in small_chain().blocks:
        fed = fold.feed(block)
        digests += fed.digests
        certificates += [representative.offset for representative in fed.representatives]
        assert [element.digest() for element in fed.elements] == list(fed.digests)
        assert [statement.number for statement in fed.statements] == [
            entry.statement.number for entry in fed.ranges
        ]
        for entry in fed.ranges:
            statement = entry.statement
            witnesses = all_membership_witnesses(fold.parameters, entry.value_before, entry.primes)
            after = decode_value(fold.parameters, statement.value_after)
            assert entry.value_after == after
            members = range(statement.first, statement.last + 1)
            assert len(members) == len(witnesses)
            for number, witness in zip(members, witnesses, strict=True):
                prime = check_certificate(digests[number - 1], certificates[number - 1])
                verify_membership(fold.parameters, after, prime, witness)
            context = statement.digest()
            proof = prove_append_only(
                fold.parameters, entry.value_before, entry.primes, entry.value_after, context
            )
            verify_append_only(fold.parameters, entry.value_before, entry.value_after, proof, context)


def test_numbers_are_dense_over_blocks():
    fold = state()
    numbers = [element.number for block in small_chain().blocks for element in fold.feed(block).elements]
    assert numbers == list(range(1, 10))


@pytest.mark.parametrize(
    "raw",
    [
        cut(2),
        cut(0),
        cut(True),
        envelope("interlock:cut", payload=b"{}"),
        envelope("interlock:cut", payload=result("interlock:cut", {"number": "1", "latest": []})),
        envelope("interlock:cut", payload=result("interlock:sign", {"number": 1, "latest": []})),
        envelope("records:submit", payload=result("interlock:cut", {"number": 1, "latest": []})),
        envelope(
            "interlock:cut", payload=result("interlock:cut", {"number": 1, "latest": []}), chaincode="other"
        ),
        envelope("interlock:cut", payload=result("interlock:cut", {"number": 1, "latest": []}), status=500),
    ],
)
def test_what_is_no_cut(raw):
    chain, fold = FakeChain(), state()
    fold.feed(chain.add(configuration()))
    assert fold.feed(chain.add(raw)).statements == ()
    assert fold.anchor == 0


def test_a_cut_that_is_not_valid_is_none():
    chain, fold = FakeChain(), state()
    fold.feed(chain.add(configuration()))
    assert fold.feed(chain.add(cut(1), codes=[11])).statements == ()
    assert len(fold.feed(chain.add(cut(1))).statements) == 1


def test_block_zero_has_nothing_to_cut():
    chain, fold = FakeChain(), state()
    assert fold.feed(chain.add(cut(1))).statements == ()
    assert fold.anchor == 0


def test_one_block_fixes_one_cut():
    chain, fold = FakeChain(), state()
    fold.feed(chain.add(configuration()))
    assert [entry.number for entry in fold.feed(chain.add(cut(1), cut(1), cut(2))).statements] == [1]
    assert fold.elements - fold.anchored == 3


def test_the_latest_anchors_come_from_the_cut():
    latest = [
        {"chain": "edge-a", "number": 3, "statement": "aa" * 32},
        {"chain": "edge-b", "number": 1, "statement": "bb" * 32},
    ]
    chain, fold = FakeChain(), state("main")
    fold.feed(chain.add(configuration()))
    (statement,) = fold.feed(chain.add(cut(1, latest))).statements
    assert statement.latest == (
        LatestAnchor("edge-a", 3, b"\xaa" * 32),
        LatestAnchor("edge-b", 1, b"\xbb" * 32),
    )


@pytest.mark.parametrize("latest", [{}, "x", [1], [{"chain": "edge-a"}]])
def test_a_cut_without_readable_latest_is_refused_and_changes_nothing(latest):
    chain, fold = FakeChain(), state("main")
    fold.feed(chain.add(configuration()))
    before = fold.snapshot()
    with pytest.raises(InvalidStatement):
        fold.feed(chain.add(cut(1, latest)))
    assert fold.snapshot() == before


def test_news_on_main_and_on_an_edge():
    chain, accepted = FakeChain(), {"chain": "edge-a", "number": 1, "statement": "00" * 32}
    chain.add(configuration())
    for news in (0, 5):
        payload = result("interlock:accept", {**accepted, "news": news})
        chain.add(envelope("interlock:accept", payload=payload))
    edge, main = state("edge-a"), state("main")
    feed_all(edge, chain.blocks)
    feed_all(main, chain.blocks)
    assert (edge.news, main.news) == (1, 2)


def test_which_chain_is_main_may_be_said():
    assert ChainState("cloud", parameters("cloud"), main=True).main
    assert not ChainState("cloud", parameters("cloud")).main
    assert state("main").main


def damaged_blocks():
    chain = small_chain()
    good = chain.blocks[2]
    tip = header_hash(chain.blocks[1].header)
    yield "number", make_block(3, tip, [cut(1)])
    yield "previous hash", make_block(2, bytes(32), [cut(1)])
    yield "codes", make_block(2, tip, [cut(1)], [])
    yield "codes", make_block(2, tip, [cut(1)], [0, 0])
    altered = type(good).FromString(good.SerializeToString())
    altered.data.data[0] = GOOD
    yield "data hash", altered


@pytest.mark.parametrize(("what", "block"), list(damaged_blocks()))
def test_what_is_not_the_next_block_changes_nothing(what, block):
    chain, fold = small_chain(), state()
    feed_all(fold, chain.blocks[:2])
    before = fold.snapshot()
    with pytest.raises(InvalidBlock):
        fold.feed(block)
    assert fold.snapshot() == before
    assert feed_all(fold, chain.blocks[2:]) == model("edge-a", chain.blocks, main=False), what


def test_a_block_is_not_taken_twice():
    chain, fold = small_chain(), state()
    fold.feed(chain.blocks[0])
    with pytest.raises(InvalidBlock):
        fold.feed(chain.blocks[0])


def test_one_altered_envelope_changes_every_later_statement():
    honest, forged = small_chain(), FakeChain()
    forged.add(configuration())
    for block in honest.blocks[1:]:
        envelopes = list(block.data.data)
        if block.header.number == 1:
            envelopes[0] = GOOD.replace(b"creator", b"creatoR")
        forged.add(*envelopes, codes=list(block.metadata.metadata[2]))
    for left, right in zip(feed_all(state(), honest.blocks), feed_all(state(), forged.blocks), strict=True):
        assert left.value_after != right.value_after
        assert left.tree_root != right.tree_root
        assert left.digest() != right.digest()


@pytest.mark.parametrize("code", [1, 11, 254])
def test_another_validation_code_is_another_statement(code):
    chain = small_chain()
    honest = feed_all(state(), chain.blocks)
    chain.blocks[1].metadata.metadata[2] = bytes(
        [code, 11]
    )  # the header does not bind it, the statement does
    assert feed_all(state(), chain.blocks)[0].digest() != honest[0].digest()


def test_parameters_of_another_chain():
    with pytest.raises(ValueError, match="edge-b"):
        ChainState("edge-a", parameters("edge-b"))


def test_snapshots_that_do_not_hold_together():
    fold = state()
    feed_all(fold, small_chain().blocks)
    good = fold.snapshot()
    for bad in (
        replace(good, parameters=bytes(32)),
        replace(good, chain="edge-b"),
        replace(good, primes=good.primes[1:]),
        replace(good, tree_nodes=good.tree_nodes[1:]),
        replace(good, value=bytes(len(good.value))),
        replace(good, value=good.value[1:]),
        replace(good, elements=good.elements + 1),
    ):
        with pytest.raises(SchemaMismatch):
            ChainState.restore(bad, parameters("edge-a"))
