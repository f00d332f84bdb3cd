"""The embedded ledger: the suite of every backend, then what only it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from chains import TestChain, make_chain, open_saved
from ledger_harness import Harness
from ledger_suite import CODE, LedgerSuite
from scratch_contract import Get, ListKeys, Put, invoke

from identity.authority import DevelopmentAuthority
from identity.roles import Role
from ledger.embedded import EmbeddedLedger
from ledger.errors import ChainExists, ChainNotFound, ProposalRefused, Unavailable
from ledger.port import Ledger, evaluate_typed


class EmbeddedHarness(Harness):
    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.chain = make_chain(folder, "edge-a", invoke=invoke, **options)
        self.organisations = self.chain.organisations
        self._opened: list[EmbeddedLedger] = [self.chain.ledger]

    def open(self, msp_id: str = "", role: Role = Role.CLIENT, *, attempts: int | None = None) -> Ledger:
        options = {} if attempts is None else {"attempts": attempts}
        return self._open(self.chain.signer(msp_id or self.organisations[0], role), **options)

    def stranger(self) -> Ledger:
        now = datetime.now(UTC) - timedelta(minutes=1)
        authority = DevelopmentAuthority.create(self.organisations[0], self.folder / "impostor", now=now)
        return self._open(authority.issue("impostor", Role.CLIENT, now=now))

    def expired(self) -> Ledger:
        authority = self.chain.authorities[self.organisations[0]]
        now = datetime.now(UTC) - timedelta(minutes=5)
        return self._open(authority.issue("late", Role.CLIENT, now=now, lifetime=timedelta(minutes=4)))

    def under_endorsed(self) -> Ledger:
        return self._open(None, endorsers=self.chain.endorsers[:1])

    def endorsed(self, message: Any) -> bytes:
        return self.chain.ledger.endorsed(message)

    def order(self, envelope: bytes) -> int:
        return self.chain.ledger.order(envelope).code

    def recipe(self) -> tuple[Callable[..., Ledger], tuple[Any, ...]]:
        return open_saved, (self.chain.save(self.folder / "saved"), invoke)

    def _open(self, submitter: Any, **options: Any) -> EmbeddedLedger:
        ledger = self.chain.open(submitter, **options)
        self._opened.append(ledger)
        return ledger

    def close(self) -> None:
        self.chain.ledger.verify()
        for ledger in self._opened:
            ledger.close()


@pytest.fixture
def ledger_factory(tmp_path: Path) -> Iterator[Callable[[], Harness]]:
    made: list[EmbeddedHarness] = []

    def factory() -> Harness:
        made.append(EmbeddedHarness(tmp_path / f"chain{len(made)}"))
        return made[-1]

    yield factory
    for harness in made:
        harness.close()


class TestEmbedded(LedgerSuite):
    """The suite over SQLite; every chain is verified whole at the end of its test."""


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[TestChain]:
    made = make_chain(tmp_path, invoke=invoke)
    yield made
    made.close()


def test_opening_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ChainNotFound):
        EmbeddedLedger(tmp_path / "none.sqlite", invoke=invoke)


def test_creating_twice_keeps_the_chain(chain: TestChain, tmp_path: Path) -> None:
    chain.ledger.submit(Put("a", "1"))
    EmbeddedLedger.create(chain.path, chain.genesis)
    assert evaluate_typed(chain.ledger, Get("a")).text == "1"
    other = make_chain(tmp_path / "other", invoke=invoke)
    with pytest.raises(ChainExists):
        EmbeddedLedger.create(chain.path, other.genesis)
    other.close()
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")) == []


def test_chain_outlives_its_ledger(chain: TestChain) -> None:
    receipt = chain.ledger.submit(Put("a", "1"))
    chain.ledger.close()
    again = chain.open()
    assert evaluate_typed(again, Get("a")).text == "1"
    assert again.information().height == receipt.block + 1
    again.close()


def test_reader_needs_no_signer(chain: TestChain) -> None:
    chain.ledger.submit(Put("a", "1"))
    reader = EmbeddedLedger(chain.path)
    assert [block.header.number for block in reader.blocks(0)] == [0, 1]
    with pytest.raises(Unavailable, match="no submitter"):
        reader.submit(Put("a", "2"))
    reader.close()


def test_submitter_without_orderer_or_endorsers(chain: TestChain) -> None:
    for options, word in (({"orderer": None}, "orderer"), ({"endorsers": ()}, "endorsers")):
        ledger = chain.open(None, **options)
        with pytest.raises(Unavailable, match=word):
            ledger.submit(Put("a", "1"))
        ledger.close()


@pytest.mark.parametrize(("offset", "word"), [(-16 * 60_000, "behind"), (16 * 60_000, "ahead")])
def test_time_window(chain: TestChain, offset: int, word: str) -> None:
    now = int(datetime.now(UTC).timestamp() * 1000)
    with pytest.raises(ProposalRefused, match=word):
        chain.ledger.endorsed(Put("a", "1"), timestamp_ms=now + offset)
    assert chain.ledger.endorsed(Put("a", "1"), timestamp_ms=now + offset // 4)


def test_expiry_goes_by_the_claimed_time(chain: TestChain) -> None:
    authority = chain.authorities[chain.organisations[0]]
    now = datetime.now(UTC)
    signer = authority.issue(
        "soon", Role.CLIENT, now=now - timedelta(minutes=5), lifetime=timedelta(minutes=4)
    )
    ledger = chain.ledger.acting_as(signer)
    with pytest.raises(ProposalRefused, match="not valid after"):
        ledger.submit(Put("a", "1"))
    claimed = int((now - timedelta(minutes=2)).timestamp() * 1000)
    status = chain.ledger.order(ledger.endorsed(Put("a", "1"), timestamp_ms=claimed))
    assert status.code == CODE.VALID


def test_size_limits_are_the_configuration_s(chain: TestChain) -> None:
    with pytest.raises(ProposalRefused):
        chain.ledger.order(b"")
    with pytest.raises(ProposalRefused):
        chain.ledger.order(bytes(chain.ledger.configuration.max_block_bytes + 1))


def test_a_range_counts_as_far_as_it_was_read(chain: TestChain) -> None:
    """A real peer reads ahead, up to a hundred keys, and counts all of them."""
    for key in ("p/1", "p/2"):
        chain.ledger.submit(Put(key, "x"))
    part = chain.ledger.endorsed(ListKeys("p/", "p0", 1, "count"))
    chain.ledger.submit(Put("p/15", "x"))  # behind the one key that was read
    assert chain.ledger.order(part).code == CODE.VALID


def test_two_peers_of_one_organisation_are_one(chain: TestChain) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    twin = chain.authorities["Org1MSP"].issue("peer1.Org1MSP", Role.PEER, now=now)
    ledger = chain.open(None, endorsers=(chain.endorsers[0], twin))
    envelope = ledger.endorsed(Put("a", "1"))
    assert chain.ledger.order(envelope).code == CODE.ENDORSEMENT_POLICY_FAILURE
    ledger.close()


def test_only_peers_endorse(chain: TestChain) -> None:
    client = chain.signer("Org2MSP", Role.CLIENT)
    ledger = chain.open(None, endorsers=(chain.endorsers[0], client))
    assert chain.ledger.order(ledger.endorsed(Put("a", "1"))).code == CODE.ENDORSEMENT_POLICY_FAILURE
    ledger.close()


def test_three_organisations_need_only_two(tmp_path: Path) -> None:
    chain = make_chain(tmp_path, organisations=("Org1MSP", "Org2MSP", "Org3MSP"), invoke=invoke)
    receipt = chain.ledger.submit(Put("a", "1"))
    block = chain.ledger.block(receipt.block)
    from protocol.blocks import Transaction

    assert len(Transaction.from_envelope(block.data.data[0]).endorsements) == 2
    chain.close()
