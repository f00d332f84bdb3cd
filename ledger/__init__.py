"""The ledger port, the errors of its stages, and the backends behind it."""

from ledger.errors import LedgerError
from ledger.port import (
    ChainInformation,
    Ledger,
    Receipt,
    TransactionStatus,
    call,
    evaluate_typed,
    submit_typed,
)

__all__ = [
    "ChainInformation",
    "Ledger",
    "LedgerError",
    "Receipt",
    "TransactionStatus",
    "call",
    "evaluate_typed",
    "submit_typed",
]
