"""The peer's side of the chaincode stream, small and strict, over a real connection on loopback."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.peer import (
    chaincode_pb2,
    chaincode_shim_pb2,
    chaincode_shim_pb2_grpc,
    proposal_pb2,
    proposal_response_pb2,
)

Message = chaincode_shim_pb2.ChaincodeMessage
LIMIT = 100 * 1024 * 1024


class FakePeer:
    """Serves state requests of one chaincode; refuses what a real peer refuses."""

    def __init__(
        self,
        port: int,
        values: dict[str, bytes],
        *,
        page: int = 3,
        offer: tuple[int, int] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        options = [("grpc.max_send_message_length", LIMIT), ("grpc.max_receive_message_length", LIMIT)]
        address = f"localhost:{port}"
        self.channel = (
            grpc.insecure_channel(address, options)
            if credentials is None
            else grpc.secure_channel(address, credentials, options)
        )
        self.values = values
        self.page = page
        self.offer = offer
        """Keys that may be read and written in one request; a peer before 3.1 says nothing of it."""
        self.refused: set[str] = set()
        """Keys that are neither read nor written."""
        self.unwritable: set[str] = set()
        """Keys that are read, and refused when they are written."""
        self.silent: set[str] = set()
        """Keys whose reading is not answered, nor their deletion, nor a batch that holds them."""
        self.log: list[tuple[str, str]] = []
        self.package = ""
        self.keepalives: queue.Queue[Any] = queue.Queue()
        self.iterators: dict[str, list[tuple[str, bytes]]] = {}
        self._open: dict[str, Future[Any]] = {}
        self._writes: dict[str, dict[str, bytes | None]] = {}
        self._out: queue.Queue[Any] = queue.Queue()
        self._registered = threading.Event()
        self._call = chaincode_shim_pb2_grpc.ChaincodeStub(self.channel).Connect(self._outgoing())
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._registered.wait(10), "the chaincode did not register"

    def begin(
        self,
        creator: bytes,
        *arguments: bytes,
        transaction: str,
        channel: str = "edge-a",
        said_channel: str | None = None,
    ) -> Future[Any]:
        """Send a TRANSACTION; the future is its COMPLETED."""
        header = common_pb2.Header(
            channel_header=common_pb2.ChannelHeader(
                type=common_pb2.HeaderType.ENDORSER_TRANSACTION,
                channel_id=said_channel or channel,
                tx_id=transaction,
                timestamp={"seconds": 1_750_000_000, "nanos": 5_999_999},
            ).SerializeToString(),
            signature_header=common_pb2.SignatureHeader(creator=creator, nonce=b"n").SerializeToString(),
        )
        proposal = proposal_pb2.Proposal(header=header.SerializeToString())
        future: Future[Any] = Future()
        self._open[transaction] = future
        self._out.put(
            Message(
                type=Message.TRANSACTION,
                payload=chaincode_pb2.ChaincodeInput(args=list(arguments)).SerializeToString(),
                proposal=proposal_pb2.SignedProposal(proposal_bytes=proposal.SerializeToString()),
                txid=transaction,
                channel_id=channel,
            )
        )
        return future

    def call(self, creator: bytes, *arguments: bytes, transaction: str = "") -> Any:
        """Run one transaction to its end; the chaincode's response."""
        name = transaction or hashlib.sha256(b"".join(arguments)).hexdigest()
        completed = self.begin(creator, *arguments, transaction=name).result(20)
        return proposal_response_pb2.Response.FromString(completed.payload)

    def send(self, message: Any) -> None:
        self._out.put(message)

    def hang_up(self) -> None:
        self._call.cancel()
        self.channel.close()
        self._thread.join(10)

    def _outgoing(self) -> Iterator[Any]:
        while (message := self._out.get()) is not None:
            yield message

    def _read(self) -> None:
        try:
            for message in self._call:
                self._take(message)
        except grpc.RpcError:
            pass
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._out.put(None)

    def _take(self, message: Any) -> None:
        kind = message.type
        if kind == Message.REGISTER:
            self.package = chaincode_pb2.ChaincodeID.FromString(message.payload).name
            self._out.put(Message(type=Message.REGISTERED))
            self._out.put(Message(type=Message.READY, payload=self._ready()))
            self._registered.set()
        elif kind == Message.KEEPALIVE:
            self.keepalives.put(message)
        elif kind == Message.COMPLETED:
            response = proposal_response_pb2.Response.FromString(message.payload)
            if response.status < 400:
                for key, value in self._writes.pop(message.txid, {}).items():
                    if value is None:
                        self.values.pop(key, None)
                    else:
                        self.values[key] = value
            self._open.pop(message.txid).set_result(message)
        else:
            self.log.append((message.txid, Message.Type.Name(kind)))
            if message.txid not in self._open:
                raise AssertionError("a request outside any open transaction")
            self._serve(message)

    def _serve(self, message: Any) -> None:
        kind, raw = message.type, message.payload
        answer = b""
        writes = self._writes.setdefault(message.txid, {})
        if kind == Message.GET_STATE:
            key = chaincode_shim_pb2.GetState.FromString(raw).key
            if key in self.silent:
                return
            if key in self.refused:
                self._answer(message, Message.ERROR, b"secret text of the peer")
                return
            answer = self.values.get(key, b"")
        elif kind == Message.PUT_STATE:
            put = chaincode_shim_pb2.PutState.FromString(raw)
            if put.key in self.refused | self.unwritable:
                self._answer(message, Message.ERROR, b"secret text of the peer")
                return
            writes[put.key] = put.value
        elif kind == Message.GET_STATE_MULTIPLE:
            keys = chaincode_shim_pb2.GetStateMultiple.FromString(raw).keys
            assert self.offer is not None
            assert len(keys) <= self.offer[0]
            # As Fabric does: when its database fails there are no values, and no ERROR.
            found = [] if self.refused & set(keys) else [self.values.get(key, b"") for key in keys]
            answer = chaincode_shim_pb2.GetStateMultipleResult(values=found).SerializeToString()
        elif kind == Message.WRITE_BATCH_STATE:
            records = chaincode_shim_pb2.WriteBatchState.FromString(raw).rec
            assert self.offer is not None
            assert len(records) <= self.offer[1]
            if self.silent & {record.key for record in records}:
                return
            if (self.refused | self.unwritable) & {record.key for record in records}:
                self._answer(message, Message.ERROR, b"secret text of the peer")
                return
            for record in records:
                assert record.type in (Message.PUT_STATE, Message.DEL_STATE)
                writes[record.key] = record.value if record.type == Message.PUT_STATE else None
        elif kind == Message.DEL_STATE:
            key = chaincode_shim_pb2.DelState.FromString(raw).key
            if key in self.silent:
                return
            writes[key] = None
        elif kind == Message.GET_STATE_BY_RANGE:
            asked = chaincode_shim_pb2.GetStateByRange.FromString(raw)
            pairs = [
                (key, self.values[key])
                for key in sorted(self.values)
                if asked.startKey <= key and (not asked.endKey or key < asked.endKey)
            ]
            self.iterators[message.txid] = pairs
            answer = self._page(message.txid)
        elif kind == Message.QUERY_STATE_NEXT:
            answer = self._page(chaincode_shim_pb2.QueryStateNext.FromString(raw).id)
        elif kind == Message.QUERY_STATE_CLOSE:
            del self.iterators[chaincode_shim_pb2.QueryStateClose.FromString(raw).id]
        else:
            raise AssertionError(f"unexpected {Message.Type.Name(kind)}")
        self._answer(message, Message.RESPONSE, answer)

    def _ready(self) -> bytes:
        if self.offer is None:
            return b""
        reads, writes = self.offer
        offered = chaincode_pb2.ChaincodeAdditionalParams(
            use_get_multiple_keys=reads > 0,
            max_size_get_multiple_keys=reads,
            use_write_batch=writes > 0,
            max_size_write_batch=writes,
        )
        return bytes(offered.SerializeToString())

    def _page(self, iterator: str) -> bytes:
        rest = self.iterators[iterator]
        page, rest = rest[: self.page], rest[self.page :]
        if rest:
            self.iterators[iterator] = rest
        else:
            del self.iterators[iterator]
        results = [
            chaincode_shim_pb2.QueryResultBytes(
                resultBytes=kv_query_result_pb2.KV(key=key, value=value).SerializeToString()
            )
            for key, value in page
        ]
        response = chaincode_shim_pb2.QueryResponse(results=results, has_more=bool(rest), id=iterator)
        return bytes(response.SerializeToString())

    def _answer(self, message: Any, kind: int, payload: bytes) -> None:
        self._out.put(Message(type=kind, payload=payload, txid=message.txid, channel_id=message.channel_id))
