"""The operator's token of a gateway: made once, whole, and for its owner's eyes alone."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from edgeproof.deployment import Plan
from edgeproof.errors import DeploymentError
from edgeproof.processes import operator_token, run_gateway
from edgeproof.setup import make_deployment
from gateway.services import MIN_TOKEN, Services

NAME = "operator-token"


def test_a_token_is_made_once_and_kept(tmp_path: Path) -> None:
    token = operator_token(tmp_path)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token), "256 bits in base64url"
    assert len(token) >= MIN_TOKEN
    assert (tmp_path / NAME).read_text() == token
    assert operator_token(tmp_path) == token
    assert [path.name for path in tmp_path.iterdir()] == [NAME], "something was left behind"


def test_two_gateways_have_two_tokens(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert operator_token(tmp_path / "one") != operator_token(tmp_path / "two")


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_nobody_else_can_read_it_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        operator_token(tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        with ThreadPoolExecutor(8) as pool:
            tokens = set(pool.map(operator_token, [folder] * 8))
        assert tokens == {(folder / NAME).read_text()}
        assert [path.name for path in folder.iterdir()] == [NAME]


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token = operator_token(tmp_path)
    (tmp_path / NAME).chmod(0o640)
    with pytest.raises(DeploymentError, match="others can read") as caught:
        operator_token(tmp_path)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"a" * 31, b"a" * 20 + b" " + b"a" * 20, b"\xff" * 43]
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    (tmp_path / NAME).chmod(0o600)
    with pytest.raises(DeploymentError, match="holds no token") as caught:
        operator_token(tmp_path)
    assert "aaaa" not in str(caught.value)


def test_an_operator_may_put_a_token_of_their_own(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("0123456789abcdefghijklmnopqrstuvwxyz\n")
    (tmp_path / NAME).chmod(0o600)
    assert operator_token(tmp_path) == "0123456789abcdefghijklmnopqrstuvwxyz"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="missing"):
        operator_token(tmp_path / "missing")


def test_the_log_says_where_it_is_and_not_what_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = operator_token(tmp_path)
    assert str(tmp_path / NAME) in caplog.text
    assert token not in caplog.text


def test_a_gateway_is_handed_the_token_that_lies_in_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def serve(
        factory: Callable[[], Services], bind: str, *, close: Callable[[Services], None], **_: Any
    ) -> None:
        for _turn in range(2):
            services = factory()
            seen.append(services.operator_token)
        close(services)

    monkeypatch.setattr("gateway.server.serve", serve)
    deployment = make_deployment(tmp_path / "deployment", Plan.standard(1))
    run_gateway(deployment, "edge-a", "127.0.0.1", 0, None, None)
    path = deployment.state_path("gateway-edge-a") / "keys" / NAME
    assert seen == [path.read_text()] * 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
