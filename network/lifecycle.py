"""The chaincode's life on a channel: installed at every peer, approved by every organisation, committed.

No definition carries an endorsement policy of its own: the channel's holds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from network.errors import CommandFailed
from network.layout import Layout
from network.packages import CHAINCODE, Package
from network.programs import Programs, run_program
from network.system_chaincode import PeerQuestions
from network.tools import admin_environment, orderer_arguments
from network.topology import Node

__all__ = ["deploy", "install"]

_PAUSE_S: Final = 0.2
_PATIENCE_S: Final = 30.0


def install(
    layout: Layout, programs: Programs, peer: Node, questions: PeerQuestions, package: Package
) -> bool:
    """Install a package where the peer has it not; its connection must be written before.

    Returns:
        Whether it had to be installed.

    Raises:
        CommandFailed: the peer refuses.
    """
    if package.package_id in questions.packages():
        return False
    run_program(
        [programs.peer, "lifecycle", "chaincode", "install", layout.package(package.label)],
        environment=admin_environment(layout, peer),
    )
    return True


def deploy(
    layout: Layout,
    programs: Programs,
    package: Package,
    peers: Sequence[Node],
    orderers: Sequence[Node],
    questions: Mapping[str, PeerQuestions],
    executor: Executor,
) -> bool:
    """Approve by every organisation and commit, as far as that is not done.

    Args:
        layout: of the network.
        programs: Fabric's.
        package: installed at all peers.
        peers: the channel's, one an organisation.
        orderers: the channel's.
        questions: by peer's name.
        executor: for what can be done at once.

    Returns:
        Whether anything had to be done.

    Raises:
        CommandFailed: somebody refuses.
    """
    chain = peers[0].chain

    def approve(peer: Node) -> bool:
        known = questions[peer.name].approved_package(chain, CHAINCODE, package.sequence)
        if known == package.package_id:
            return False
        command = [programs.peer, "lifecycle", "chaincode", "approveformyorg"]
        command += [*_definition(chain, package), "--package-id", package.package_id]
        _insist(layout, command, peer, orderers)
        return True

    approved = any(list(executor.map(approve, peers)))
    definition = questions[peers[0].name].definition(chain, CHAINCODE)
    if definition is not None and definition.sequence >= package.sequence:
        return approved
    command = [programs.peer, "lifecycle", "chaincode", "commit", *_definition(chain, package)]
    for peer in peers:
        command += ["--peerAddresses", peer.endpoint]
        command += ["--tlsRootCertFiles", str(layout.tls_roots(peer.msp_id))]
    _insist(layout, command, peers[0], orderers)
    return True


def _definition(chain: str, package: Package) -> list[str]:
    sequence = str(package.sequence)
    return ["--channelID", chain, "--name", CHAINCODE, "--version", sequence, "--sequence", sequence]


def _insist(layout: Layout, command: Sequence[object], peer: Node, orderers: Sequence[Node]) -> None:
    """Run a command that needs the orderers, by one after the other, until one of them has a leader."""
    end = time.monotonic() + _PATIENCE_S
    attempt = 0
    while True:
        orderer = orderers[attempt % len(orderers)]
        try:
            run_program(
                [str(word) for word in command] + orderer_arguments(layout, peer, orderer),
                environment=admin_environment(layout, peer),
            )
        except CommandFailed:
            if time.monotonic() > end:
                raise
            attempt += 1
            time.sleep(_PAUSE_S)
        else:
            return
