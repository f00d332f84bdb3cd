"""Following a chain's configurations: each is taken under the one before, and each block under one of them.

Keys of members come and go by configuration updates. Whether a signature counts is decided by the
configuration at the height of the block that carries it, never by a clock.

Source: Fabric 3.1.5 common/configtx/validator.go:171, orderer/common/multichannel/blockwriter.go
(``OrdererBlockMetadata.last_config``).
"""

from __future__ import annotations

from collections.abc import Callable

from fabric_protos.common import common_pb2

from protocol.blocks import check_linkage, data_hash, last_configuration
from protocol.configuration import Configuration
from protocol.errors import InvalidBlock, StaleConfiguration, UnknownConfiguration

__all__ = ["ConfigurationHistory", "configuration_numbers"]


class ConfigurationHistory:
    """A chain's configurations from genesis on, each verified under the one before.

    The history may end before the chain does: which configurations there are later, it learns by ``follow``.

    Args:
        genesis: block 0, whose hash the caller compares with what is trusted.

    Raises:
        InvalidBlock: it is not block 0, or carries no configuration.
    """

    def __init__(self, genesis: common_pb2.Block) -> None:
        first = Configuration.from_block(genesis)
        if first.block != 0 or first.sequence != 0:
            raise InvalidBlock(f"block {first.block} with configuration {first.sequence} is no genesis block")
        check_linkage(genesis, b"")
        self._known = [first]

    @property
    def genesis(self) -> Configuration:
        """The first configuration."""
        return self._known[0]

    @property
    def newest(self) -> Configuration:
        """The newest one known."""
        return self._known[-1]

    def copy(self) -> ConfigurationHistory:
        """A history that grows on its own."""
        other = object.__new__(ConfigurationHistory)
        other._known = [*self._known]
        return other

    def find(self, block: int) -> Configuration | None:
        """The configuration in block ``block``, if it is known."""
        return next((one for one in self._known if one.block == block), None)

    def before(self, configuration: Configuration) -> Configuration:
        """The configuration before a known one; genesis for genesis."""
        return self._known[max(0, configuration.sequence - self.genesis.sequence - 1)]

    def follow(self, block: common_pb2.Block) -> Configuration:
        """Take the chain's next configuration block.

        Raises:
            InvalidBlock: it does not follow the newest one known (see ``Configuration.successor``).
        """
        if block.header.number <= self.newest.block:
            raise InvalidBlock(f"configuration {self.newest.block} is newer than block {block.header.number}")
        if bytes(block.header.data_hash) != data_hash(block.data.data):
            raise InvalidBlock(f"block {block.header.number}: the data hash is not that of its envelope")
        following = self.newest.successor(block)
        self._known.append(following)
        return following

    def in_force(self, block: common_pb2.Block) -> Configuration:
        """The configuration that a block's orderers and endorsers are checked under.

        A block names it in what its orderers sign. It must be the newest one known below the block: whoever
        holds retired keys names an older one. (A configuration block names itself: ``follow`` takes it.)

        Raises:
            UnknownConfiguration: the block names one that is not known here.
            StaleConfiguration: a newer one than it names is known.
            InvalidBlock: it names none.
        """
        number = int(block.header.number)
        named = last_configuration(block)
        newest = next((one for one in reversed(self._known) if one.block < number), self.genesis)
        if named > newest.block:
            raise UnknownConfiguration(f"block {number} names configuration block {named}")
        if named < newest.block:
            raise StaleConfiguration(
                f"block {number} names configuration block {named}, though {newest.block} is in force"
            )
        return newest


def configuration_numbers(read: Callable[[int], common_pb2.Block], number: int) -> tuple[int, ...]:
    """Numbers of the configuration blocks after genesis that block ``number`` rests on, oldest first.

    Each block names the newest one; the block before that one names the one before.

    Args:
        read: gives a block of the chain by its number.
        number: the block.

    Raises:
        InvalidBlock: a block names none, or a later one.
    """
    found: list[int] = []
    while number > 0:
        named = last_configuration(read(number))
        if named > number:
            raise InvalidBlock(f"block {number} names the later configuration block {named}")
        if named > 0:
            found.append(named)
        number = named - 1
    return tuple(reversed(found))
