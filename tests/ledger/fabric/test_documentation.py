"""docs/fabric-client.md: its examples, run as they stand there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import FakeGateway, new_key_and_member

from ledger.fabric import Endpoint, connect, private_key_sign

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "fabric-client.md").read_text()


def examples() -> dict[str, Any]:
    """Everything that the page's Python blocks define."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, "docs/fabric-client.md", "exec"), names)
    return names


def run_all(settings: dict[str, Any], peer: Endpoint, identity: Any, sign: Any, folder: Path) -> None:
    """Every example, against any peer with a chaincode that writes and emits."""
    page = examples()
    transaction, number = asyncio.run(page["main"](settings))
    assert re.fullmatch("[0-9a-f]{64}", transaction)
    assert page["submit"](settings, peer, identity, sign) > number

    async def rest() -> None:
        async with connect(peer, identity) as unsigned:
            assert (await page["offline"](unsigned, settings, sign)).successful
        async with connect(peer, identity, sign=sign) as gateway:
            network = gateway.get_network(settings["channel"])
            cursor = {**settings, "cursor": str(folder / "cursor.json")}
            first = await asyncio.wait_for(page["follow"](network, cursor, 2), 20)
            second = await asyncio.wait_for(page["follow"](network, cursor, 1), 20)
            assert len({event.transaction_id for event in first + second}) == 3

    asyncio.run(rest())


def test_examples(fake: FakeGateway, endpoint: Endpoint, tmp_path: Path) -> None:
    key, identity = new_key_and_member()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(identity.credentials)
    settings = {
        "address": endpoint.address,
        "msp_id": identity.msp_id,
        "certificate": tmp_path / "cert.pem",
        "key": tmp_path / "key.pem",
        "channel": "chain",
        "chaincode": "basic",
        "write": "write",
        "argument": "a",
    }
    run_all(settings, endpoint, identity, private_key_sign(key), tmp_path)


@pytest.mark.fabric
def test_examples_on_a_real_network(scratch_chaincode: Any, tmp_path: Path) -> None:
    from scratch_contract import Emit

    from identity import Role
    from ledger.fabric import Identity
    from protocol.encodings import encode

    chain, organisation = scratch_chaincode.chain, scratch_chaincode.organisations[0]
    home = scratch_chaincode.network.layout.identity(organisation, Role.CLIENT.value)
    found = scratch_chaincode.network.peer(chain, organisation)
    peer = Endpoint(found.address, found.tls_roots, found.server_name)
    certificate = scratch_chaincode.signer(organisation, Role.CLIENT).certificate_pem
    (tmp_path / "cert.pem").write_bytes(certificate)
    settings = {
        "address": found.address,
        "tls_roots": found.tls_roots,
        "server_name": found.server_name,
        "msp_id": organisation,
        "certificate": tmp_path / "cert.pem",
        "key": home / "key.pem",
        "channel": chain,
        "chaincode": scratch_chaincode.fresh(),
        "write": Emit.FUNCTION,
        "argument": encode(Emit("made", "x")).decode(),
    }
    sign = private_key_sign((home / "key.pem").read_bytes())
    run_all(settings, peer, Identity(organisation, certificate), sign, tmp_path)


def test_every_error_is_on_the_page() -> None:
    from ledger.fabric import errors

    kinds = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
    ]
    assert len(kinds) == 11
    for name in kinds:
        assert f"`{name}`" in TEXT, name
