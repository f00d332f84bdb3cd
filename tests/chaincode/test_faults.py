from __future__ import annotations

import traceback

import pytest

from chaincode.faults import told_safely


def raise_from(depth: int, secret: str) -> None:
    if depth:
        raise_from(depth - 1, secret)
    try:
        raise KeyError(secret)
    except KeyError as error:
        raise ValueError(f"bad {secret}") from error


def told(depth: int) -> tuple[str, ValueError]:
    with pytest.raises(ValueError, match="hunter2") as caught:
        raise_from(depth, "hunter2")
    return told_safely(caught.value), caught.value


def test_type_and_places_of_an_exception_and_its_cause_and_nothing_that_they_hold() -> None:
    said, error = told(0)
    innermost = traceback.extract_tb(error.__traceback__)[-1].lineno
    assert error.__cause__ is not None
    cause = traceback.extract_tb(error.__cause__.__traceback__)[-1].lineno
    assert said.startswith(f"ValueError < chaincode/test_faults.py:{innermost} raise_from < ")
    assert said.endswith(f", from KeyError < chaincode/test_faults.py:{cause} raise_from")
    assert "hunter2" not in said
    assert "\n" not in said


def test_deep_recursion_stays_one_short_line() -> None:
    said, _ = told(200)
    assert said.count("raise_from") == 7  # six frames of the error, one of its cause
    assert len(said) < 1_000


def test_an_exception_that_was_never_raised_has_a_type_alone() -> None:
    assert told_safely(SystemExit("x")) == "SystemExit"
