"""The transcript as a stranger checks it: one altered, missing, repeated or misplaced message is refused."""

import random

import pytest
from ceremony_parties import Table, settings, sign, verify
from hypothesis import given
from hypothesis import strategies as st

from accumulator.ceremony import History, InvalidTranscript, check_result
from accumulator.ceremony.messages import Envelope, Kind, join, split

SHAPE = settings(96, 3, 6)


@pytest.fixture(scope="module")
def table():
    return Table(SHAPE, 3).run()


def replay(records, shape=SHAPE):
    history = History(shape, verify)
    for record in records:
        history.add(record)
    return history


def test_an_honest_transcript_holds(table):
    history = replay(table.histories[1].records)
    digest, n = check_result(SHAPE, verify, table.finished[1])
    assert (history.head, history.modulus) == (digest, n)


def test_any_altered_byte_is_refused(table):
    records = table.histories[1].records
    source = random.Random(1)
    for _ in range(120):
        number = source.randrange(len(records))
        changed = bytearray(records[number])
        changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
        with pytest.raises(InvalidTranscript):
            replay([*records[:number], bytes(changed), *records[number + 1 :]])


@pytest.mark.parametrize(
    "kind", [Kind.COMMIT, Kind.POINTS, Kind.PROMISE, Kind.POWERS, Kind.GCD_POINT, Kind.OPEN]
)
def test_one_message_altered_and_signed_anew_by_its_sender_is_refused(table, kind):
    """The sender itself changes one message afterwards: the messages after it no longer fit what they saw."""
    import hashlib

    records = table.histories[1].records
    *before, last = records
    messages = [Envelope.decode(part) for part in split(last)]
    at = next(i for i, message in enumerate(messages) if message.kind is kind and message.sender == 2)
    body = bytes([messages[at].body[0] ^ 1]) + messages[at].body[1:]
    draft = Envelope(**{**messages[at].__dict__, "body": body, "digest": hashlib.sha256(body).digest()})
    messages[at] = Envelope(**{**draft.__dict__, "signature": sign(2)(draft.signed_bytes())})
    with pytest.raises(InvalidTranscript):
        replay([*before, join([message.encode() for message in messages])])


def test_missing_repeated_and_exchanged_messages_are_refused(table):
    *before, last = table.histories[1].records
    parts = split(last)
    for at in range(len(parts)):
        with pytest.raises(InvalidTranscript):
            replay([*before, join(parts[:at] + parts[at + 1 :])])
        with pytest.raises(InvalidTranscript):
            replay([*before, join([*parts[: at + 1], parts[at], *parts[at + 1 :]])])
    with pytest.raises(InvalidTranscript):
        replay([*before, join([parts[1], parts[0], *parts[2:]])])


def test_batches_cannot_be_left_out_or_added(table):
    records = table.histories[1].records
    if len(records) > 1:
        with pytest.raises(InvalidTranscript):
            replay(records[1:])
    with pytest.raises(InvalidTranscript, match="after the one"):
        replay([*records, records[-1]])


def test_a_transcript_of_another_ceremony_is_refused(table):
    with pytest.raises(InvalidTranscript):
        replay(table.histories[1].records, settings(96, 3, 6, name="other"))


def test_the_result_needs_every_signature_once(table):
    first, second, third = table.finished[1]
    for wrong in [(first, second), (first, second, second), (second, first, third), ()]:
        with pytest.raises(InvalidTranscript):
            check_result(SHAPE, verify, wrong)
    other = Table(settings(96, 3, 6, name="other"), 1).run().finished[1]
    with pytest.raises(InvalidTranscript):
        check_result(SHAPE, verify, other)


def test_parties_that_signed_different_results_are_refused(table):
    first, second, third = table.finished[1]
    message = Envelope.decode(second)
    import hashlib

    body = message.body[:-1] + bytes([message.body[-1] ^ 2])
    draft = Envelope(**{**message.__dict__, "body": body, "digest": hashlib.sha256(body).digest()})
    lie = Envelope(**{**draft.__dict__, "signature": sign(2)(draft.signed_bytes())}).encode()
    with pytest.raises(InvalidTranscript, match="different results"):
        check_result(SHAPE, verify, (first, lie, third))


@given(st.binary(max_size=400))
def test_bytes_that_are_no_message_never_crash(raw):
    for read in (Envelope.decode, Envelope.decode_proof):
        with pytest.raises(InvalidTranscript):
            read(b"EPC1" + raw if len(raw) % 2 else raw)


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_joining_round_trips(parts):
    assert split(join(parts)) == parts


def test_a_message_round_trips(table):
    for part in split(table.histories[1].records[0]):
        message = Envelope.decode(part)
        assert message.encode() == part
        assert Envelope.decode_proof(message.proof()).header() == message.header()
