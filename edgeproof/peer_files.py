"""Where the peers of a Fabric network keep the blocks of their chains, on this host."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ledger.block_files import PeerBlockFiles
from ledger.errors import CorruptLedger
from network import Network
from network.topology import Node
from protocol.blocks import check_linkage, header_hash
from protocol.errors import InvalidBlock

__all__ = ["block_folder", "walk_block_files"]


def block_folder(network: Network, peer: Node) -> Path:
    """The folder of one peer's block files; not there on another host.

    Source: Fabric 3.1.5 core/ledger/kvledger, below ``peer.fileSystemPath``.
    """
    data = network.layout.node(peer.name) / "data"
    return data / "ledgersData" / "chains" / "chains" / peer.chain


def walk_block_files(folder: Path) -> int:
    """See that the block files in a folder hold a whole chain; the count of its blocks.

    The peer may be running: a block that is being written is left out. Nobody's signature is looked at.

    Raises:
        ChainNotFound: there is no block file.
        CorruptLedger: a block cannot be read, does not follow the one before it, or holds other envelopes
            than its header commits to.
        Unavailable: the disk refuses.
    """
    previous, height = b"", 0
    with closing(PeerBlockFiles(folder)) as files:
        for block in files.blocks(0):
            try:
                check_linkage(block, previous)
            except InvalidBlock as error:
                raise CorruptLedger(str(error)) from error
            previous, height = header_hash(block.header), height + 1
    return height
