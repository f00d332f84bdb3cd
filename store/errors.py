"""What can go wrong in the content-addressed store.

::

    StoreError
    ├── NotFound       no object of this address is held
    ├── Corrupt        an object, or a file that should hold it, is not what its address promises
    ├── TooLarge       an object or a pack beyond what the format carries
    └── Unavailable    the file system refuses (full, read-only, no permission)
"""

from __future__ import annotations

__all__ = ["Corrupt", "NotFound", "StoreError", "TooLarge", "Unavailable"]


class StoreError(Exception):
    """Root of this room's errors."""


class NotFound(StoreError):
    """No object of this address is held.

    Attributes:
        address: the address asked for.
    """

    def __init__(self, address: bytes, hint: str = "") -> None:
        super().__init__(f"the store holds no object {address.hex()}{hint}")
        self.address = address


class Corrupt(StoreError):
    """Bytes on disk are not what their address promises.

    Attributes:
        file: the file at fault, relative to the store's root.
        address: the object at fault, or None when the file as a whole cannot be read.
        reason: what is wrong with it.
    """

    def __init__(self, file: str, address: bytes | None, reason: str) -> None:
        what = f"object {address.hex()} in {file}" if address is not None else f"pack {file}"
        super().__init__(f"{what} is corrupt: {reason}")
        self.file = file
        self.address = address
        self.reason = reason


class TooLarge(StoreError):
    """An object or a pack beyond what the format carries."""


class Unavailable(StoreError):
    """The file system refuses: full, read-only, or no permission."""
