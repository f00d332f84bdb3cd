"""Fabric's configtxlator reads every block of the embedded ledger, and sees in it what was put there."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import fabric_tools
import pytest
from chains import TestChain, make_chain
from scratch_contract import Delete, Emit, Increment, ListKeys, Put, invoke

from identity.roles import Role
from ledger.port import Receipt


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestChain]:
    fabric_tools.tool("configtxlator")
    made = make_chain(tmp_path_factory.mktemp("format"), "edge-a", invoke=invoke)
    stale = made.ledger.endorsed(Increment("count"))
    for message in (Put("a", "1"), Increment("count"), ListKeys("a", "b", 0, "listed"), Delete("a")):
        made.ledger.submit(message)
    made.ledger.order(stale)
    yield made
    made.close()


def test_every_block_is_read(chain: TestChain) -> None:
    height = chain.ledger.information().height
    assert height == 6
    for block in chain.ledger.blocks(0):
        seen = fabric_tools.decode("common.Block", block.SerializeToString())
        assert int(seen["header"].get("number", 0)) == block.header.number
        assert base64.b64decode(seen["header"]["data_hash"]) == bytes(block.header.data_hash)
        (envelope,) = seen["data"]["data"]
        header = envelope["payload"]["header"]["channel_header"]
        assert header["channel_id"] == "edge-a"
        assert header["type"] == (1 if block.header.number == 0 else 3)
        assert base64.b64decode(seen["metadata"]["metadata"][2]) == bytes(block.metadata.metadata[2])


def _action(chain: TestChain, receipt: Receipt) -> tuple[dict[str, Any], dict[str, Any]]:
    seen = fabric_tools.decode("common.Block", chain.ledger.block(receipt.block).SerializeToString())
    payload = seen["data"]["data"][0]["payload"]
    (action,) = payload["data"]["actions"]
    return payload["header"], action["payload"]


def test_a_known_transaction_field_by_field(chain: TestChain) -> None:
    receipt = chain.ledger.submit(Emit("recorded", "seven"))
    header, action = _action(chain, receipt)
    assert header["channel_header"]["tx_id"] == receipt.transaction
    assert header["signature_header"]["creator"]["mspid"] == "Org1MSP"
    certificate = base64.b64decode(header["signature_header"]["creator"]["id_bytes"])
    assert certificate == chain.signer("Org1MSP", Role.CLIENT).certificate_pem
    spec = action["chaincode_proposal_payload"]["input"]["chaincode_spec"]
    assert [base64.b64decode(argument) for argument in spec["input"]["args"]] == [
        b"scratch:emit",
        b'{"name":"recorded","text":"seven"}',
    ]
    assert spec["chaincode_id"]["name"] == "edgeproof"
    response = action["action"]["proposal_response_payload"]["extension"]
    assert response["chaincode_id"]["name"] == "edgeproof"
    assert response["response"]["status"] == 200
    assert json.loads(base64.b64decode(response["response"]["payload"])) == {
        "result": {"text": "seven"},
        "type": "scratch:emit",
    }
    assert response["events"]["event_name"] == "recorded"
    assert response["events"]["tx_id"] == receipt.transaction
    assert len(action["action"]["endorsements"]) == 2


def test_reads_writes_and_ranges(chain: TestChain) -> None:
    first = chain.ledger.submit(Increment("known"))
    second = chain.ledger.submit(Increment("known"))
    _, action = _action(chain, second)
    (entry,) = action["action"]["proposal_response_payload"]["extension"]["results"]["ns_rwset"]
    assert entry["namespace"] == "edgeproof"
    (read,) = entry["rwset"]["reads"]
    assert read["key"] == "known"
    assert read["version"] == {"block_num": str(first.block), "tx_num": "0"}
    (write,) = entry["rwset"]["writes"]
    assert (write["key"], base64.b64decode(write["value"])) == ("known", b"2")

    ranged = chain.ledger.submit(ListKeys("known", "known~", 0, "listed"))
    _, action = _action(chain, ranged)
    (entry,) = action["action"]["proposal_response_payload"]["extension"]["results"]["ns_rwset"]
    (info,) = entry["rwset"]["range_queries_info"]
    assert (info["start_key"], info["end_key"], info["itr_exhausted"]) == ("known", "known~", True)
    (read,) = info["raw_reads"]["kv_reads"]
    assert read == {"key": "known", "version": {"block_num": str(second.block), "tx_num": "0"}}

    partial = chain.ledger.submit(ListKeys("k", "l", 1, "listed"))
    _, action = _action(chain, partial)
    (entry,) = action["action"]["proposal_response_payload"]["extension"]["results"]["ns_rwset"]
    (info,) = entry["rwset"]["range_queries_info"]
    assert (info["start_key"], info["end_key"], info.get("itr_exhausted", False)) == ("k", "known", False)


def test_block_signature_s_metadata(chain: TestChain) -> None:
    raw = bytes(chain.ledger.block(1).metadata.metadata[0])
    seen = fabric_tools.decode("common.Metadata", raw)
    (signature,) = seen["signatures"]
    header = fabric_tools.decode("common.SignatureHeader", base64.b64decode(signature["signature_header"]))
    assert header["creator"]["mspid"] == "OrdererMSP"
    assert fabric_tools.decode("common.OrdererBlockMetadata", base64.b64decode(seen["value"])) == {
        "consenter_metadata": "",
        "last_config": {"index": "0"},
    }
