"""The embedded ledger: Fabric's blocks and rules in one SQLite file, without a server."""

from ledger.embedded.genesis import build_genesis
from ledger.embedded.ledger import EmbeddedLedger
from ledger.embedded.peers import Invoke

__all__ = ["EmbeddedLedger", "Invoke", "build_genesis"]
