"""The content-addressed store: what devices sent and what training saved, addressed by its hash."""

from store.errors import Corrupt, NotFound, StoreError, TooLarge, Unavailable
from store.files import FileStore
from store.port import CHUNK_BYTES, Damage, Report, Store

__all__ = [
    "CHUNK_BYTES",
    "Corrupt",
    "Damage",
    "FileStore",
    "NotFound",
    "Report",
    "Store",
    "StoreError",
    "TooLarge",
    "Unavailable",
]
