"""What is done again, and what is not, when Fabric's tool fails to approve or to commit.

The ``peer`` program is a script here that says what the real one said (``test_answers.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prepared_network import prepared

from network.errors import CommandFailed
from network.lifecycle import deploy
from network.packages import Package
from network.programs import Programs

CHAIN = "edge-a"
NO_LEADER = "Error: failed to send transaction: got unexpected status: SERVICE_UNAVAILABLE -- no Raft leader"
LATE = "Error: timed out waiting for txid on all peers"
REFUSED = "Error: transaction invalidated with status (ENDORSEMENT_POLICY_FAILURE)"
PACKAGE = Package.make(1)


@dataclass
class Chain:
    """A chain behind a script: what it says goes by turns, what holds is looked up in files."""

    folder: Path
    says: dict[str, list[str]] = field(default_factory=dict)
    """By subcommand: words to fail with, one a call; after the last one it works. ``!`` before them: what is
    asked for happens all the same."""

    def __post_init__(self) -> None:
        self.layout, self.topology = prepared(self.folder / "network", "dev")
        self.calls = self.folder / "calls"
        program = self.folder / "peer"
        program.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {self.calls}\n'
            f"turn=$(grep -c $3 {self.calls})\n"
            f"word={self.folder}/$3.$turn\n"
            f'[ -e $word ] && ! grep -q "^!" $word && {{ cat $word >&2; exit 1; }}\n'
            f'touch {self.folder}/done.$3.$(echo "$CORE_PEER_MSPCONFIGPATH" '
            "| tr / _)\n"
            "[ -e $word ] && { cat $word >&2; exit 1; }\nexit 0\n"
        )
        program.chmod(0o755)
        for name, words in self.says.items():
            for turn, said in enumerate(words, start=1):
                (self.folder / f"{name}.{turn}").write_text(said)
        self.programs = Programs(program, program, program, program)
        self.peers = self.topology.select(chain=CHAIN, kind="peer")

    def questions(self) -> dict[str, Any]:
        def approved(msp_id: str) -> str | None:
            mine = str(self.layout.identity(msp_id, "admin") / "msp").replace("/", "_")
            found = self.folder / f"done.approveformyorg.{mine}"
            return PACKAGE.package_id if found.exists() else None

        def definition(*_: object) -> object:
            return SimpleNamespace(sequence=1) if [*self.folder.glob("done.commit.*")] else None

        return {
            peer.name: SimpleNamespace(
                definition=definition, approved_package=lambda *_, msp_id=peer.msp_id: approved(msp_id)
            )
            for peer in self.peers
        }

    def deploy(self) -> bool:
        orderers = self.topology.select(chain=CHAIN, kind="orderer")
        return deploy(self.layout, self.programs, PACKAGE, self.peers, orderers, self.questions())

    def called(self, subcommand: str) -> int:
        return sum(subcommand in line for line in self.calls.read_text().splitlines())


def test_each_approves_and_one_commits(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    assert chain.deploy()
    assert (chain.called("approveformyorg"), chain.called("commit")) == (2, 1)
    assert not chain.deploy()
    assert (chain.called("approveformyorg"), chain.called("commit")) == (2, 1)


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    chain = Chain(tmp_path, {"commit": [NO_LEADER, NO_LEADER]})
    assert chain.deploy()
    assert chain.called("commit") == 3


def test_what_holds_already_is_not_tried_again(tmp_path: Path) -> None:
    """The tool gave up waiting, but the transaction stands."""
    chain = Chain(tmp_path, {"commit": [f"!{LATE}"]})
    assert chain.deploy()
    assert chain.called("commit") == 1


def test_a_refusal_is_final(tmp_path: Path) -> None:
    chain = Chain(tmp_path, {"commit": [REFUSED]})
    with pytest.raises(CommandFailed, match="ENDORSEMENT_POLICY_FAILURE"):
        chain.deploy()
    assert chain.called("commit") == 1
