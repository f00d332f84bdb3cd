"""Who may have the gateway record in its own name: whoever shows the operator's token, and nobody else."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gateway_site import OPERATOR, TOKEN, Site, check_problem, make_site
from werkzeug.test import TestResponse

from chaincode.api import RecordInference
from gateway.services import MIN_TOKEN
from gateway.web import CHALLENGE

BODY = {"run": "digits", "version": 1, "model": "00" * 32, "input": "11" * 32, "output": "22" * 32}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = make_site(tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def post(site: Site, authorization: str | None, **changes: Any) -> TestResponse:
    headers = {} if authorization is None else {"Authorization": authorization}
    return site.http.post("/v1/inferences", **({"json": BODY} | changes), headers=headers)


WRONG = {
    "nothing": None,
    "empty": "",
    "no token": "Bearer",
    "an empty token": "Bearer ",
    "another scheme": f"Basic {TOKEN}",
    "no scheme": TOKEN,
    "another token": f"Bearer {TOKEN[:-1]}x",
    "too short": f"Bearer {TOKEN[:-1]}",
    "too long": f"Bearer {TOKEN}0",
    "another case": f"Bearer {TOKEN.upper()}",
    "two tokens": f"Bearer {TOKEN}, Bearer {TOKEN}",
    "quoted": f'Bearer "{TOKEN}"',
    "beyond ASCII": f"Bearer {TOKEN}\xe9",
}


@pytest.mark.parametrize("shown", WRONG.values(), ids=WRONG.keys())
def test_whoever_does_not_show_the_token_gets_one_and_the_same_answer(site: Site, shown: str | None) -> None:
    response = post(site, shown)
    problem = check_problem(response, "not-authorised")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == CHALLENGE == 'Bearer realm="edgeproof"'
    assert problem == post(site, None).get_json(), "the answer tells what was wrong"
    assert site.ledger.count(RecordInference.FUNCTION) == 0


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
def test_the_token_lets_in_whatever_the_scheme_is_spelt_like(site: Site, shown: str) -> None:
    # No such model: it is the contract that refuses, so the request came as far as that.
    check_problem(post(site, shown), "not-found")


def test_the_token_is_asked_for_before_the_request_is_read(site: Site) -> None:
    check_problem(post(site, "Bearer x", json=None, data=b"{", content_type="text/plain"), "not-authorised")
    check_problem(
        post(site, OPERATOR["Authorization"], json=None, data=b"{", content_type="application/json"),
        "malformed-json",
    )


def test_a_gateway_without_a_token_does_not_offer_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    site = make_site(tmp_path_factory.mktemp("bare"))
    try:
        site.restart(operator_token=None)
        for shown in (None, "Bearer ", "Bearer None", OPERATOR["Authorization"]):
            check_problem(post(site, shown), "not-provided")
        assert site.ledger.count(RecordInference.FUNCTION) == 0
    finally:
        site.close()


@pytest.mark.parametrize("token", ["", " ", "a" * (MIN_TOKEN - 1)])
def test_a_token_that_can_be_guessed_is_none(site: Site, token: str) -> None:
    with pytest.raises(ValueError, match="at least"):
        replace(site.services, operator_token=token)


def test_the_comparison_takes_the_same_time_wherever_they_differ(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, compare = [], hmac.compare_digest

    def spy(shown: bytes, expected: bytes) -> bool:
        compared.append((shown, expected))
        return compare(shown, expected)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    post(site, "Bearer x")
    assert compared == [(b"x", TOKEN.encode())]


def test_the_token_is_never_written_to_a_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    def broken(message: object) -> None:
        raise RuntimeError("a fault of ours")

    caplog.set_level(logging.DEBUG)
    post(site, OPERATOR["Authorization"])
    post(site, f"Bearer {TOKEN}x")
    site.ledger.before = broken
    try:
        check_problem(post(site, OPERATOR["Authorization"]), "internal-error")
    finally:
        site.ledger.before = lambda message: None
    assert "a fault of ours" in caplog.text, "nothing was logged at all"
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(site.services)
