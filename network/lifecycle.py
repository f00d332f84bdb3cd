"""The chaincode's life on a channel: installed at every peer, approved by every organisation, committed.

No definition carries an endorsement policy of its own: the channel's holds.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from network.answers import may_pass
from network.errors import CommandFailed, CommandTimedOut
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
        NotReady: a peer does not answer.
    """
    chain = peers[0].chain
    definition = questions[peers[0].name].definition(chain, package.chaincode)
    committed = 0 if definition is None else int(definition.sequence)

    def has_approved(peer: Node, sequence: int) -> bool:
        found = questions[peer.name].approved_package(chain, package.chaincode, sequence)
        return found == package.package_id

    def approved(sequence: int) -> list[Node]:
        with ThreadPoolExecutor(len(peers)) as executor:
            found = executor.map(lambda peer: has_approved(peer, sequence), peers)
            return [peer for peer, known in zip(peers, found, strict=True) if known]

    # What is committed is this package's definition if anybody approved it with this package.
    done = approved(committed) if committed else []
    sequence = committed if done else committed + 1
    if not done:
        done = approved(sequence)
    words = ["--channelID", chain, "--name", package.chaincode, "--version", str(package.number)]
    words += ["--sequence", str(sequence)]

    def approve(peer: Node) -> None:
        command = [programs.peer, "lifecycle", "chaincode", "approveformyorg", *words]
        command += ["--package-id", package.package_id]
        _insist(layout, command, peer, orderers, lambda: has_approved(peer, sequence))

    missing = [peer for peer in peers if peer not in done]
    with ThreadPoolExecutor(len(peers)) as executor:
        list(executor.map(approve, missing))
    if sequence == committed:
        return bool(missing)

    def is_committed() -> bool:
        found = questions[peers[0].name].definition(chain, package.chaincode)
        return found is not None and int(found.sequence) >= sequence

    command = [programs.peer, "lifecycle", "chaincode", "commit", *words]
    for peer in peers:
        command += ["--peerAddresses", peer.endpoint]
        command += ["--tlsRootCertFiles", str(layout.tls_roots(peer.msp_id))]
    _insist(layout, command, peers[0], orderers, is_committed)
    return True


def _insist(
    layout: Layout,
    command: Sequence[object],
    peer: Node,
    orderers: Sequence[Node],
    holds: Callable[[], bool],
) -> None:
    """Run a command that needs the orderers, by one after the other, until what it is for ``holds``.

    Only what may pass is tried again: an orderer that is starting or has no leader, an answer that was late.

    Raises:
        CommandFailed: it fails for good, or still after the time there is.
        NotReady: nobody can say any more whether it holds.
    """
    end = time.monotonic() + _PATIENCE_S
    for attempt in itertools.count():
        orderer = orderers[attempt % len(orderers)]
        try:
            run_program(
                [*map(str, command), *orderer_arguments(layout, peer, orderer)],
                environment=admin_environment(layout, peer),
            )
        except CommandFailed as error:
            # A transaction whose fate the tool did not learn may be in a block; another one is then refused.
            if holds():
                return
            passing = isinstance(error, CommandTimedOut) or may_pass(str(error))
            if not passing or time.monotonic() > end:
                raise
            time.sleep(_PAUSE_S)
        else:
            return
