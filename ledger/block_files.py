"""Reading a chain from copies of files: a Fabric peer's block files, or the embedded ledger's.

A peer keeps its blocks in ``ledgersData/chains/chains/<channel>/blockfile_000000``, ``…_000001`` and so on,
one after the other, each with its length before it. Nothing read here is trusted or judged beyond its form:
``audit`` does that.

Source of the form: Fabric 3.1.5 common/ledger/blkstorage (block_serialization.go, blockfile_mgr.go): a varint
length, then header (number, data hash, previous hash), envelopes and metadata, lists with their count before
them, bytes with their length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol

from fabric_protos.common import common_pb2

from ledger.embedded.database import Database
from ledger.embedded.stored_blocks import StoredBlocks
from ledger.errors import BlockNotFound, ChainNotFound, CorruptLedger, Unavailable
from ledger.port import BlockSource, ChainInformation
from protocol.blocks import header_hash
from protocol.elements import views

__all__ = ["ChainCopy", "ChainFile", "PeerBlockFiles", "open_blocks", "serialise_block"]

_PREFIX: Final = "blockfile_"
_SQLITE: Final = b"SQLite format 3\0"
_LONGEST_VARINT: Final = 10
_HASH_BYTES: Final = 32
_LARGEST_BLOCK: Final = 100 * 1024 * 1024
"""What Fabric's orderers and peers take as one message at most, by default; a block is one."""


class ChainCopy(BlockSource, Protocol):
    """A chain read from a copy of files."""

    @property
    def left_out(self) -> int:
        """Bytes at the end that are the beginning of one more block, which is not whole."""


def open_blocks(path: Path) -> ChainCopy:
    """A peer's folder of block files, or an embedded ledger's file.

    Raises:
        ChainNotFound: neither is there.
        CorruptLedger: it cannot be read as such.
        Unavailable: the disk refuses.
    """
    if not path.is_file() or path.name.startswith(_PREFIX):
        return PeerBlockFiles(path)
    try:
        with path.open("rb") as file:
            begins = file.read(len(_SQLITE))
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    if begins != _SQLITE:
        raise ChainNotFound(f"{path} is no embedded ledger's file, nor a folder of a peer's block files")
    return ChainFile(path)


class PeerBlockFiles:
    """A ``ChainCopy`` over a copy of a peer's block files.

    A block that the newest file ends within was being written when the copy was made and is left out, as a
    peer leaves it out when it starts again. That is so only if what is there can be a block's beginning, the
    next one's by number and previous hash: a damaged length makes no tail of the blocks after it.

    Args:
        folder: holds the files; or one file alone.

    Raises:
        ChainNotFound: no block file is there, or no block in them.
        CorruptLedger: a file does not hold blocks one after the other, from block 0 on.
        Unavailable: the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        paths = [folder] if folder.is_file() else sorted(folder.glob(f"{_PREFIX}*"))
        self._stack: Final = ExitStack()
        self._places: list[tuple[mmap.mmap, int, int]] = []
        self.left_out = 0
        """Bytes at the end that are left out."""
        try:
            for at, path in enumerate(paths):
                self._index(path, newest=at == len(paths) - 1)
            if not self._places:
                raise ChainNotFound(f"{folder} holds no block files of a peer")
            self.chain: Final = _channel(self.block(0), folder)
        except OSError as error:
            self.close()
            raise Unavailable(f"{error.filename or folder} cannot be read: {error.strerror}") from error
        except BaseException:
            self.close()
            raise

    def blocks(self, start: int) -> Iterator[common_pb2.Block]:
        """As ``ledger.port.Ledger.blocks``."""
        for number in range(start, len(self._places)):
            yield self.block(number)

    def block(self, number: int) -> common_pb2.Block:
        """As ``ledger.port.Ledger.block``."""
        if not 0 <= number < len(self._places):
            raise BlockNotFound(f"there is no block {number}")
        content, start, end = self._places[number]
        found = _Reader(content[start:end], f"block {number}").block()
        if found.header.number != number:
            raise CorruptLedger(f"block {found.header.number} stands where block {number} should")
        return found

    def information(self) -> ChainInformation:
        """As ``ledger.port.Ledger.information``."""
        height = len(self._places)
        return ChainInformation(self.chain, height, header_hash(self.block(height - 1).header))

    def close(self) -> None:
        """Close the files."""
        self._places = []
        self._stack.close()

    def _index(self, path: Path, *, newest: bool) -> None:
        if not path.stat().st_size:
            return
        file = self._stack.enter_context(path.open("rb"))
        content = self._stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        position = 0
        while position < len(content):
            reader = _Reader(content[position : position + _LONGEST_VARINT], path.name)
            try:
                length = reader.varint()
            except CorruptLedger:
                length = 0 if len(content) - position >= _LONGEST_VARINT else len(content)
            start = position + reader.position
            if start + length > len(content):
                what = f"{path.name} ends within block {len(self._places)}"
                if not newest:
                    raise CorruptLedger(what)
                if len(content) - start > _LARGEST_BLOCK:
                    raise CorruptLedger(f"{what}, of which more is there than any block has")
                self._check_unfinished(content[start:], what)
                self.left_out = len(content) - position
                return
            if not length:
                raise CorruptLedger(f"{path.name} holds no block at byte {position}")
            self._places.append((content, start, start + length))
            position = start + length

    def _check_unfinished(self, raw: bytes, what: str) -> None:
        """See that these bytes, which follow the last whole block, can be the beginning of the next."""
        try:
            _Reader(raw, what).begin()
        except CorruptLedger:
            pass
        else:
            raise CorruptLedger(f"{what}, which is there as a whole: the length before it is damaged")
        if not self._places:
            return
        number = len(self._places)
        start = _varint(number) + _varint(_HASH_BYTES)
        rest = raw[len(start) + _HASH_BYTES :]
        previous = _sized(header_hash(self.block(number - 1).header))
        if raw[: len(start)] != start[: len(raw)] or rest[: len(previous)] != previous[: len(rest)]:
            raise CorruptLedger(f"{what}, but what is there does not begin the block that is due")


class ChainFile(StoredBlocks):
    """A ``ChainCopy`` over an embedded ledger's file; unlike the ledger it does not judge what it opens.

    Raises:
        ChainNotFound, CorruptLedger, Unavailable: as the embedded ledger.
    """

    left_out: Final = 0
    """A database holds whole blocks."""

    def __init__(self, path: Path) -> None:
        super().__init__(Database(path))
        try:
            self.chain: Final = self.information().chain
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def serialise_block(block: common_pb2.Block) -> bytes:
    """A block as a peer writes it into a block file, its length before it."""
    out = bytearray(_varint(block.header.number))
    out += _sized(block.header.data_hash) + _sized(block.header.previous_hash)
    for entries in (block.data.data, block.metadata.metadata):
        out += _varint(len(entries))
        for entry in entries:
            out += _sized(entry)
    return _sized(bytes(out))


class _Reader:
    """Numbers and byte strings, one after the other."""

    def __init__(self, raw: bytes, what: str) -> None:
        self._raw = raw
        self._what = what
        self.position = 0

    def block(self) -> common_pb2.Block:
        """The one block that the bytes are.

        Raises:
            CorruptLedger: they are none.
        """
        block = self.begin()
        if self.position != len(self._raw):
            raise CorruptLedger(f"{self._what}: bytes follow its metadata")
        return block

    def begin(self) -> common_pb2.Block:
        """The block that the bytes begin with, whatever follows it.

        Raises:
            CorruptLedger: they begin with none.
        """
        block = common_pb2.Block()
        block.header.number = self.varint()
        block.header.data_hash = self.sized()
        block.header.previous_hash = self.sized()
        block.data.data.extend(self.sized() for _ in range(self.varint()))
        block.metadata.metadata.extend(self.sized() for _ in range(self.varint()))
        return block

    def varint(self) -> int:
        """Base 128, least significant group first, at most 64 bits (Protocol Buffers' encoding)."""
        value = 0
        for shift in range(0, 7 * _LONGEST_VARINT, 7):
            if self.position >= len(self._raw):
                break
            byte = self._raw[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value
        raise CorruptLedger(f"{self._what}: no number where one is due")

    def sized(self) -> bytes:
        """Bytes with their length before them."""
        length = self.varint()
        end = self.position + length
        if end > len(self._raw):
            raise CorruptLedger(f"{self._what}: it ends too early")
        found = self._raw[self.position : end]
        self.position = end
        return found


def _channel(genesis: common_pb2.Block, folder: Path) -> str:
    seen = views(genesis)
    channel = seen[0].channel if seen else ""
    if not channel:
        raise CorruptLedger(f"{folder}: block 0 names no channel")
    return channel


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(raw: bytes) -> bytes:
    return _varint(len(raw)) + raw
