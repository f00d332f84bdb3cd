"""The chaincode's life on a channel: installed at every peer, approved by every organisation, committed.

No definition carries an endorsement policy of its own: the channel's holds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from network.errors import CommandFailed
from network.layout import Layout
from network.packages import Package
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
) -> bool:
    """Approve by every organisation and commit, as far as that is not done.

    Args:
        layout: of the network.
        programs: Fabric's.
        package: installed at all peers.
        peers: the channel's, one an organisation.
        orderers: the channel's.
        questions: by peer's name.

    Returns:
        Whether anything had to be done.

    Raises:
        CommandFailed: somebody refuses.
    """
    chain = peers[0].chain
    definition = questions[peers[0].name].definition(chain, package.chaincode)
    committed = 0 if definition is None else int(definition.sequence)

    def approved(sequence: int) -> list[Node]:
        with ThreadPoolExecutor(len(peers)) as executor:
            found = executor.map(
                lambda peer: questions[peer.name].approved_package(chain, package.chaincode, sequence), peers
            )
            return [peer for peer, known in zip(peers, found, strict=True) if known == package.package_id]

    # What is committed is this package's definition if anybody approved it with this package.
    done = approved(committed) if committed else []
    sequence = committed if done else committed + 1
    if not done:
        done = approved(sequence)
    words = ["--channelID", chain, "--name", package.chaincode, "--version", str(package.number)]
    words += ["--sequence", str(sequence)]

    def approve(peer: Node) -> None:
        command = [programs.peer, "lifecycle", "chaincode", "approveformyorg", *words]
        _insist(layout, [*command, "--package-id", package.package_id], peer, orderers)

    missing = [peer for peer in peers if peer not in done]
    with ThreadPoolExecutor(len(peers)) as executor:
        list(executor.map(approve, missing))
    if sequence == committed:
        return bool(missing)
    command = [programs.peer, "lifecycle", "chaincode", "commit", *words]
    for peer in peers:
        command += ["--peerAddresses", peer.endpoint]
        command += ["--tlsRootCertFiles", str(layout.tls_roots(peer.msp_id))]
    _insist(layout, command, peers[0], orderers)
    return True


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
