"""What is taken as done, and what is not."""

from __future__ import annotations

import pytest

from chaincode import errors
from chaincode.api import GetRun
from ledger.errors import ContractRefused
from ledger.port import Receipt
from training.machine import submit_once


class Refusing:
    """A ledger whose contract refuses with one error."""

    def __init__(self, error: type[errors.ContractError] | None) -> None:
        self._error = error

    def submit(self, message):
        if self._error is None:
            return Receipt("t", 1, b"")
        raise ContractRefused(self._error.CODE, "no", self._error.STATUS)


def test_a_receipt_passes():
    assert submit_once(Refusing(None), GetRun("r")) == Receipt("t", 1, b"")


@pytest.mark.parametrize("error", [errors.AlreadyExists, errors.Conflict, errors.DeadlinePassed])
def test_what_was_decided_meanwhile_is_looked_up(error):
    assert submit_once(Refusing(error), GetRun("r")) is None


@pytest.mark.parametrize(
    "error",
    [
        errors.AccessDenied,
        errors.InvalidArgument,
        errors.BadCrossChainProof,
        errors.StaleAnchor,
        errors.InternalError,
    ],
)
def test_every_other_refusal_is_told(error):
    with pytest.raises(ContractRefused):
        submit_once(Refusing(error), GetRun("r"))
