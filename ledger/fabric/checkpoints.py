"""Cursors of event streams: where to go on after a restart. Kept in memory, or in a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

from .errors import CheckpointError

__all__ = ["Checkpoint", "Checkpointer", "FileCheckpointer", "InMemoryCheckpointer"]


class Checkpoint(Protocol):
    """Where a stream goes on."""

    @property
    def block_number(self) -> int | None:
        """The block to go on with; None where nothing was seen yet."""

    @property
    def transaction_id(self) -> str | None:
        """The last transaction seen of that block; None where the block was not begun."""


class Checkpointer(Checkpoint, Protocol):
    """A checkpoint that moves."""

    def checkpoint_block(self, block_number: int) -> None:
        """Everything of this block was processed."""

    def checkpoint_transaction(self, block_number: int, transaction_id: str) -> None:
        """This block was processed up to and with this transaction."""


class InMemoryCheckpointer:
    """Forgotten with the process: for a stream that is opened again within one."""

    def __init__(self) -> None:
        self._block_number: int | None = None
        self._transaction_id: str | None = None

    @property
    def block_number(self) -> int | None:
        """As ``Checkpoint.block_number``."""
        return self._block_number

    @property
    def transaction_id(self) -> str | None:
        """As ``Checkpoint.transaction_id``."""
        return self._transaction_id

    def checkpoint_block(self, block_number: int) -> None:
        """As ``Checkpointer.checkpoint_block``."""
        self._set(block_number + 1, None)

    def checkpoint_transaction(self, block_number: int, transaction_id: str) -> None:
        """As ``Checkpointer.checkpoint_transaction``."""
        self._set(block_number, transaction_id)

    def _set(self, block_number: int, transaction_id: str | None) -> None:
        self._block_number, self._transaction_id = block_number, transaction_id


class FileCheckpointer(InMemoryCheckpointer):
    """Kept in a file, which is replaced whole and made durable at every step.

    The file is JSON with ``blockNumber`` (text) and ``transactionId``, as the official clients write it.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, or begin one.

        Raises:
            CheckpointError: it holds no checkpoint, or the disk refuses.
        """
        super().__init__()
        self._path = path
        try:
            text = path.read_text() if path.exists() else ""
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
        if text:
            self._read(text)
        else:
            self._write()

    def _set(self, block_number: int, transaction_id: str | None) -> None:
        super()._set(block_number, transaction_id)
        self._write()

    def _read(self, text: str) -> None:
        try:
            stored = json.loads(text)
            number, transaction = stored.get("blockNumber"), stored.get("transactionId")
            self._block_number = None if number is None else int(number)
        except (ValueError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{self._path} holds no checkpoint") from error
        if (self._block_number or 0) < 0 or not isinstance(transaction, str | None):
            raise CheckpointError(f"{self._path} holds no checkpoint")
        self._transaction_id = transaction

    def _write(self) -> None:
        state = {}
        if self._block_number is not None:
            state["blockNumber"] = str(self._block_number)
        if self._transaction_id is not None:
            state["transactionId"] = self._transaction_id
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with beside.open("w") as file:
                json.dump(state, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            raise CheckpointError(f"{self._path} cannot be written: {error.strerror}") from error
