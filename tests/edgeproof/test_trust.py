from __future__ import annotations

from pathlib import Path

from edgeproof.deployment import Plan
from edgeproof.setup import make_deployment
from edgeproof.trust import export_trust
from edgeproof.wiring import Parts
from protocol.blocks import header_hash
from protocol.trust import parse_trust, serialise_trust


def test_a_trust_root_says_what_the_chains_say(tmp_path: Path) -> None:
    deployment = make_deployment(tmp_path / "deployment", Plan.standard(2))
    with Parts(deployment, "test") as parts:
        trust = export_trust(parts)
        assert parse_trust(serialise_trust(trust)) == trust
        assert trust.main == "main"
        assert [entry.chain for entry in trust.chains] == ["edge-a", "edge-b", "main"]
        for entry in trust.chains:
            assert entry.genesis_hash == header_hash(parts.readers[entry.chain].block(0).header)
            assert set(entry.roster.keys) == set(deployment.plan.chain(entry.chain).organisations)
            assert entry.policy == 2
            assert entry.checkpoint.number == 0  # nothing is anchored yet
            assert entry.parameters() == parts.parameters(entry.chain)
