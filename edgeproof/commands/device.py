"""``edgeproof device …``: what a device's maker and its owner do."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from chaincode.api import DeviceStatus
from gateway.client import ClientError, DeviceClient, GatewayClient, ReadingSigner, Refused, Unreachable
from gateway.client import enrolment as make_enrolment
from gateway.client import grant as make_grant
from gateway.client import status_change as make_status_change
from identity import ECDSA_P256_SHA256, ED25519, IdentityError, KeyPair
from protocol.errors import ProtocolError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="""Make device keys, enrol devices, submit readings.

    Exit codes: 0 done, 1 refused, 2 usage, 3 no answer.""",
)


def _is_url(value: str) -> str:
    # Otherwise the client would try such an address again and again, as if the gateway were busy.
    if not value.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{value!r} does not begin with http:// or https://")
    return value


Url = Annotated[str, typer.Option(help="The gateway, for example http://127.0.0.1:8440.", callback=_is_url)]
Chain = Annotated[str, typer.Option(help="Chain id of the edge, for example edge-a.")]
Name = Annotated[str, typer.Option(help="Name of the device.")]
Key = Annotated[Path, typer.Option(help="The device's private key (PEM).")]
OwnerKey = Annotated[Path, typer.Option(help="The owner's private key (PEM).")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer as one JSON object.")]


@app.command()
def new(
    key: Annotated[Path, typer.Argument(help="File to write; refused if it exists.")],
    algorithm: Annotated[str, typer.Option(help=f"{ED25519} or {ECDSA_P256_SHA256}.")] = ED25519,
) -> None:
    """Make a device's key pair (mode 0600)."""
    if algorithm not in (ED25519, ECDSA_P256_SHA256):
        raise typer.BadParameter(f"{ED25519} or {ECDSA_P256_SHA256}", param_hint="--algorithm")
    if key.exists():
        raise typer.BadParameter(f"{key} exists", param_hint="KEY")
    KeyPair.generate(algorithm).save(key, replace=False)
    typer.echo(f"{key}: {algorithm}")


@app.command()
def enrol(
    url: Url,
    chain: Chain,
    device: Name,
    key: Key,
    owner: Annotated[str, typer.Option(help="MSP id of the owner's organisation.")],
    owner_key: OwnerKey,
    as_json: AsJson = False,
) -> None:
    """Enrol a device: the owner authorises its key, the device proves that it has it."""

    def act() -> dict[str, Any]:
        message = make_enrolment(chain, device, _key(key), owner, _key(owner_key))
        done = GatewayClient(url).enrol(message)
        return {"message": f"{device} is {done.status}", "device": device, "status": done.status.value}

    _answer(act, as_json)


@app.command()
def status(
    url: Url,
    chain: Chain,
    device: Name,
    owner_key: OwnerKey,
    to: Annotated[DeviceStatus, typer.Argument(help="The new status; retired is final.")],
    as_json: AsJson = False,
) -> None:
    """Suspend, resume or retire a device."""

    def act() -> dict[str, Any]:
        client = GatewayClient(url)
        sequence = client.device(device).sequence + 1
        done = client.set_status(make_status_change(chain, device, to, sequence, _key(owner_key)))
        return {"message": f"{device} is {done.status}", "device": device, "status": done.status.value}

    _answer(act, as_json)


@app.command()
def grant(
    url: Url,
    chain: Chain,
    device: Name,
    gateway: Annotated[str, typer.Option(help="Name for the gateway's signing key.")],
    gateway_key: Annotated[Path, typer.Option(help="The gateway's signing key (PEM).")],
    owner_key: OwnerKey,
    sequence: Annotated[int, typer.Option(min=1, help="1 for a new grant, one more for each change.")] = 1,
    revoke: Annotated[bool, typer.Option(help="Take the grant back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a gateway's key sign for a weak device, or take that back."""

    def act() -> dict[str, Any]:
        message = make_grant(
            chain, device, gateway, _key(gateway_key), _key(owner_key), active=not revoke, sequence=sequence
        )
        done = GatewayClient(url).grant(message)
        word = "may" if done.active else "may no more"
        return {"message": f"{gateway} {word} sign for {device}", "active": done.active}

    _answer(act, as_json)


@app.command()
def submit(
    url: Url,
    chain: Chain,
    device: Name,
    key: Key,
    data: Annotated[Path, typer.Argument(help="File with the reading's bytes; - for standard input.")],
    content_type: Annotated[
        str, typer.Option(help="Media type of the reading.")
    ] = "application/octet-stream",
    nonce: Annotated[
        str | None, typer.Option(help="1 to 64 of A-Z a-z 0-9 - _ (default: time and random bits).")
    ] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Default: time and random bits.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a reading and submit it. Ends well only when it is committed on the chain and durably stored."""

    def act() -> dict[str, Any]:
        content = sys.stdin.buffer.read() if str(data) == "-" else data.read_bytes()
        pair = _key(key)
        signer = ReadingSigner(chain, device, pair, clock=time.time)
        prepared = signer.sign(content, content_type, nonce=nonce, idempotency_key=idempotency_key)
        done = DeviceClient(url, device, pair, chain).send(prepared)
        return {
            "message": f"recorded {done.record.hex()}",
            "http_status": 201,
            "record": done.record.hex(),
            "chain": done.chain,
            "transaction": done.transaction,
        }

    _answer(act, as_json)


def _answer(act: Callable[[], dict[str, Any]], as_json: bool) -> None:
    try:
        document = act()
    except Refused as error:
        _end(
            1,
            {"message": str(error), "http_status": error.status, "problem": error.slug, "field": error.field},
            as_json,
        )
    except Unreachable as error:
        _end(3, {"message": f"{error}; is `edgeproof run` running there?", "http_status": None}, as_json)
    except ClientError as error:
        _end(3, {"message": str(error), "http_status": None}, as_json)
    except OSError as error:
        _end(2, {"message": f"cannot read {error.filename}: {error.strerror}", "http_status": None}, as_json)
    except (IdentityError, ProtocolError) as error:
        _end(2, {"message": str(error), "http_status": None}, as_json)
    _end(0, document, as_json)


def _end(code: int, document: dict[str, Any], as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps(document, sort_keys=True))
    else:
        typer.echo(document["message"], err=code != 0)
    raise typer.Exit(code)


def _key(path: Path) -> KeyPair:
    return KeyPair.load(path)
