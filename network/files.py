"""Files that another program reads: whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from identity import KeyStoreError
from identity.files import write_file
from network.errors import NetworkError

__all__ = ["write_bytes", "write_text", "write_yaml"]


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file atomically, unless it has these very bytes.

    Raises:
        NetworkError: the disk refuses.
    """
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_file(path, content, mode=mode)
    except KeyStoreError as error:
        raise NetworkError(str(error)) from error


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """As `write_bytes`, in UTF-8.

    Raises:
        NetworkError: the disk refuses.
    """
    write_bytes(path, text.encode(), mode=mode)


def write_yaml(path: Path, document: dict[str, Any]) -> None:
    """Write a document as YAML, in its own order.

    Raises:
        NetworkError: the disk refuses.
    """
    write_text(path, yaml.safe_dump(document, sort_keys=False))
