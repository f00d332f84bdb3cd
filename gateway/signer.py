"""The anchor signer: beside each organisation's own peer it recomputes and signs the chain's anchors.

It trusts nobody's word: it reads every block from its own peer, folds them into elements, accumulator value
and tree (``protocol.chainstate`` by way of ``ledger.index``), and signs exactly the statement that follows.
Since a statement is a function of the chain and of its cut, a signer never signs two with one number.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from chaincode.api import GetCut, GetSource, SignAnchor
from gateway.fault_series import FaultSeries
from identity import Signer
from ledger.errors import ContractRefused, LedgerError
from ledger.index import ChainIndex
from ledger.port import Ledger, call, evaluate_typed
from protocol.anchors import AnchorSignature

__all__ = ["AnchorSigner"]

_log = logging.getLogger(__name__)
_WAIT_S: Final = 0.5
_LAG_S: Final = 0.05


class AnchorSigner:
    """Signs one chain's anchors for one organisation.

    Args:
        ledger: the chain, read and written through the organisation's own peer.
        index: this signer's own element index of the chain.
        signer: the organisation's anchor-signing identity.
    """

    def __init__(self, ledger: Ledger, index: ChainIndex, signer: Signer) -> None:
        self._ledger = ledger
        self._index = index
        self._signer = signer
        self._height = -1

    def step(self) -> bool:
        """Sign the newest cut if it lacks this organisation's signature.

        Returns:
            Whether a signature was submitted.

        Raises:
            LedgerError: the chain does not answer, or contradicts what was indexed.
        """
        height = self._ledger.information().height
        if height == self._height:
            return False
        self._index.sync()
        status = evaluate_typed(self._ledger, GetCut(number=0))
        if status.number != self._index.anchor:
            return False  # the contract's state is not of the blocks that were read: next time
        self._height = height
        if not status.number or any(entry.msp_id == self._signer.msp_id for entry in status.signatures):
            return False
        statement = self._index.statement(status.number)
        if self._signer.msp_id not in self._roster_members():
            return False
        for other in status.statements:
            if other != statement:
                _log.error(
                    "%s: another organisation signed a different anchor %d; this one signs its own peer's",
                    self._ledger.chain,
                    status.number,
                )
        signature = AnchorSignature(self._signer.msp_id, self._signer.sign(statement.signing_bytes()))
        try:
            call(self._ledger, SignAnchor(statement, signature))
        except ContractRefused as error:
            if error.code != "already-signed":
                raise
            return False
        _log.info("%s: signed anchor %d", self._ledger.chain, status.number)
        return True

    def _roster_members(self) -> frozenset[str]:
        return frozenset(evaluate_typed(self._ledger, GetSource(chain=self._ledger.chain)).roster.keys)

    def run(self, stop: threading.Event) -> None:
        """Follow the chain until ``stop`` is set; faults are logged and tried again."""
        faults = FaultSeries(_log, self._ledger.chain)
        while not stop.is_set():
            try:
                self.step()
                faults.over()
                if self._height < 0:
                    stop.wait(_LAG_S)
                while not stop.is_set() and not self._ledger.wait(self._height, _WAIT_S):
                    pass
            except LedgerError as error:
                self._height = -1
                faults.met(error, stop)
