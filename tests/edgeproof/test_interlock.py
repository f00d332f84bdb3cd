"""Relay and anchor signers over real chains: a cloud and two edges embedded, a cloud and one on Fabric."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaincode.api import GetHeads, Organisation, RegisterOrganisation
from edgeproof.deployment import Deployment, Plan
from edgeproof.setup import adopt_network, make_deployment
from edgeproof.wiring import Parts
from gateway.relay import RelayPolicy
from gateway.relay_runner import RelayChain, RelayRunner
from gateway.signer import AnchorSigner
from identity import Role
from ledger.port import call, evaluate_typed
from protocol.elements import views

POLICY = RelayPolicy(max_news=8, max_age_s=0.0, retry_s=0.0, max_retry_s=0.0)


class Network:
    """Signers of every organisation and one relay, stepped by hand."""

    def __init__(self, deployment: Deployment, caches: Path) -> None:
        self.deployment = deployment
        self.edges = [edge.chain for edge in deployment.plan.edges]
        self._caches = caches
        self._open: list[Parts] = []
        self.signers = [self._signer(chain.chain, msp_id) for chain, msp_id in deployment.organisations()]
        self.relay = self.new_relay("relay")

    def parts(self, name: str) -> Parts:
        parts = Parts(self.deployment, name, caches=self._caches / name)
        self._open.append(parts)
        return parts

    def _signer(self, chain: str, msp_id: str) -> AnchorSigner:
        parts = self.parts(f"signer-{msp_id}")
        ledger = parts.ledger(chain, msp_id, Role.ANCHOR_SIGNER)
        return AnchorSigner(ledger, parts.index(ledger), self.deployment.signer(msp_id, Role.ANCHOR_SIGNER))

    def new_relay(self, name: str) -> RelayRunner:
        parts = self.parts(name)
        chains = {}
        for plan in self.deployment.plan.chains:
            ledger = parts.ledger(plan.chain, plan.operator, Role.RELAY)
            chains[plan.chain] = RelayChain(ledger, parts.index(ledger))
        return RelayRunner("main", chains, POLICY)

    def step(self, relay: RelayRunner | None = None) -> bool:
        moved = [signer.step() for signer in self.signers]
        return (relay or self.relay).step() or any(moved)

    def settle(self, relay: RelayRunner | None = None) -> None:
        """Step until nothing moves any more."""
        machine = relay or self.relay
        end = time.monotonic() + 60  # a busy disk holds a commit up for seconds
        while time.monotonic() < end:
            if not self.step(machine) and machine.relay.idle:
                return
        raise AssertionError("the interlock does not come to rest")

    def heights(self) -> dict[str, int]:
        parts = self.parts("heights")
        return {chain: ledger.information().height for chain, ledger in parts.readers.items()}

    def news(self, chain: str) -> None:
        """Something new on a chain."""
        plan = self.deployment.plan.chain(chain)
        owner = self.deployment.owner_key(plan.operator)
        call(
            self.parts("news").ledger(chain, plan.operator, Role.ADMIN),
            RegisterOrganisation(Organisation(plan.operator, plan.operator, owner.spki)),
        )

    def close(self) -> None:
        self.relay.close()
        for parts in self._open:
            parts.close()


FABRIC = pytest.param("fabric", marks=pytest.mark.fabric)


@pytest.fixture(params=["embedded", FABRIC])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    if request.param == "fabric":
        deployment = adopt_network(request.getfixturevalue("fabric_network").root)
    else:
        deployment = make_deployment(tmp_path / "deployment", Plan.standard(2))
    network = Network(deployment, tmp_path / "caches")
    yield network
    network.close()


embedded_only = pytest.mark.parametrize("network", ["embedded"], indirect=True)


def held(network: Network, holder: str) -> dict[str, int]:
    ledger = network.parts("check").readers[holder]
    return {head.chain: head.number for head in evaluate_typed(ledger, GetHeads()).heads}


def test_every_chain_is_anchored_everywhere(network: Network) -> None:
    network.settle()
    assert set(held(network, "main")) == set(network.edges)
    assert held(network, "edge-a") == held(network, network.edges[-1])
    assert min(held(network, "main").values()) >= 1


def test_a_hundred_idle_ticks_submit_nothing(network: Network) -> None:
    network.settle()
    heights, submissions = network.heights(), network.relay.submissions
    for _ in range(100):
        network.step()
    assert network.heights() == heights
    assert network.relay.submissions == submissions


def test_a_restarted_relay_with_lost_caches_repeats_nothing(network: Network) -> None:
    network.settle()
    heights = network.heights()
    fresh = network.new_relay("relay-after-the-crash")
    for _ in range(100):
        network.step(fresh)
    assert network.heights() == heights
    assert fresh.submissions == 0
    fresh.close()


@pytest.mark.parametrize(
    ("network", "steps"),
    [
        *(pytest.param("embedded", steps) for steps in range(1, 16, 2)),
        *(pytest.param("fabric", steps, marks=pytest.mark.fabric) for steps in (2, 5)),
    ],
    indirect=["network"],
)
def test_a_relay_killed_after_any_step_is_gone_on_with(network: Network, steps: int) -> None:
    network.news("edge-a")
    for _ in range(steps):
        network.step()
    network.relay.close()
    fresh = network.new_relay("relay-after-the-crash")
    network.settle(fresh)
    check_numbering(network)
    fresh.close()


def test_two_relays_at_once_do_no_harm(network: Network) -> None:
    other = network.new_relay("relay-two")
    for round_ in range(3):
        network.news("edge-a")
        for _ in range(40 + round_):
            network.step(other)
            network.relay.step()
        network.settle(other)
        network.settle()
    check_numbering(network)
    other.close()


def test_news_on_one_edge_reaches_every_edge(network: Network) -> None:
    network.settle()
    last = network.edges[-1]
    before, own = held(network, last)["main"], held(network, "main")
    network.news("edge-a")
    network.settle()
    assert held(network, last)["main"] > before
    after = held(network, "main")
    assert after["edge-a"] == own["edge-a"] + 1
    assert all(after[edge] == own[edge] for edge in network.edges[1:])  # a Type-III is never news


@embedded_only
def test_the_relay_refuses_a_chain_that_was_rolled_back(network: Network, tmp_path: Path) -> None:
    network.settle()
    saved = tmp_path / "old.sqlite"
    path = network.deployment.ledger_path("edge-a")
    for parts in network._open:
        parts.close()
    network.relay.close()
    shutil.copy(path, saved)

    network._open.clear()
    network.signers = [
        network._signer(chain.chain, msp_id) for chain, msp_id in network.deployment.organisations()
    ]
    network.relay = network.new_relay("relay")
    network.news("edge-a")
    network.settle()
    for parts in network._open:
        parts.close()
    network.relay.close()
    for leftover in path.parent.glob(path.name + "-*"):
        leftover.unlink()
    shutil.copy(saved, path)

    network._open.clear()
    network.signers = []
    network.relay = network.new_relay("relay")
    submissions = network.relay.submissions
    for _ in range(20):
        network.relay.step()
    (halted,) = network.relay.relay.halted
    assert halted.chain == "edge-a"
    assert network.relay.submissions == submissions
    network.relay.close()
    # A relay without its caches has the same refusal from main's word alone.
    network.relay = network.new_relay("relay-without-memory")
    for _ in range(20):
        network.relay.step()
    (halted,) = network.relay.relay.halted
    assert halted.chain == "edge-a"
    assert "main holds" in halted.why


def check_numbering(network: Network) -> None:
    """Every anchor once, none missing, on every chain that holds it."""
    readers = network.parts("check").readers
    for holder, ledger in readers.items():
        seen: dict[str, list[int]] = {}
        for block in ledger.blocks(0):
            for view in views(block):
                if view.function == "interlock:accept" and view.code == 0:
                    import json

                    result = json.loads(view.payload)["result"]
                    seen.setdefault(result["chain"], []).append(result["number"])
        expected = set(network.edges) if holder == "main" else {"main"}
        assert set(seen) == expected
        for numbers in seen.values():
            assert numbers == list(range(1, len(numbers) + 1))
