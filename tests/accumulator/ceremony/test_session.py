"""Whole ceremonies among state machines: honest, interrupted, and with parties that deviate."""

import hashlib

import gmpy2
import pytest
from ceremony_parties import Table, settings, sign, verify

from accumulator.ceremony import Disagreement, History, Misbehaviour, check_result
from accumulator.ceremony.candidates import simulate
from accumulator.ceremony.messages import Envelope, Kind
from accumulator.ceremony.public import promise
from accumulator.ceremony.sharing import pack


def resign(message: Envelope, **changes) -> bytes:
    """A message that its own sender has changed and signed again."""
    fields = {**message.__dict__, **changes}
    fields["digest"] = hashlib.sha256(fields["body"]).digest()
    changed = Envelope(**fields)
    return Envelope(
        **{**changed.__dict__, "signature": sign(changed.sender)(changed.signed_bytes())}
    ).encode()


def flip(body: bytes, at: int = -1) -> bytes:
    changed = bytearray(body)
    changed[at] ^= 1
    return bytes(changed)


def in_first_batch(wanted, change, recipient=None, index=0):
    """A deviation in one kind of message of the first batch."""

    def deviate(kind, number, found, to, body):
        hit = (kind, number, found) == (wanted, 0, index) and recipient in (None, to)
        return change(body) if hit else body

    return deviate


def told_otherwise(sender, kind, change, recipient):
    """An editor by which one party tells one other a different broadcast, signed by its own key."""

    def edit(source, to, raw):
        message = Envelope.decode(raw)
        if (source, to, message.kind, message.number) == (sender, recipient, kind, 0):
            return resign(message, body=change(message.body))
        return raw

    return edit


@pytest.mark.parametrize(("parties", "bits", "batch"), [(3, 64, 8), (3, 128, 16), (4, 128, 16), (5, 96, 32)])
def test_honest_parties_agree_on_a_modulus_that_all_signed(parties, bits, batch):
    shape = settings(bits, parties, batch)
    table = Table(shape, 7).run()
    assert not table.aborted
    digest, n = check_result(shape, verify, table.finished[1])
    assert n.bit_length() == bits
    assert len(set(table.finished.values())) == 1
    assert {history.head for history in table.histories.values()} == {digest}
    assert all(session.closed for session in table.sessions.values())


def test_the_modulus_is_a_product_of_two_primes_three_modulo_four():
    for seed in range(12):
        table = Table(settings(64, 3, 16), seed).run()
        n = table.histories[1].modulus
        factors, rest = [], gmpy2.mpz(n)
        # Pollard's rho, so that nothing of the ceremony decides what its own result is made of.
        x = y = gmpy2.mpz(2)
        divisor = gmpy2.mpz(1)
        while divisor == 1:
            x = (x * x + 1) % rest
            y = (y * y + 1) % rest
            y = (y * y + 1) % rest
            divisor = gmpy2.gcd(abs(x - y), rest)
        factors = [int(divisor), int(rest // divisor)]
        assert all(gmpy2.is_prime(f, 40) and f % 4 == 3 and f.bit_length() == 32 for f in factors), factors


def test_every_way_through_the_channels_gives_the_same_kind_of_end():
    for seed in range(15):
        table = Table(settings(64, 3, 4), seed).run()
        assert not table.aborted
        assert len(table.finished) == 3


# Parties that deviate


@pytest.mark.parametrize("sender", [1, 2, 3])
@pytest.mark.parametrize(("kind", "index"), [(Kind.SIEVE, 0), (Kind.SIEVE, 1), (Kind.PRODUCT, 0)])
def test_a_party_that_sends_inconsistent_shares_is_named_by_all(sender, kind, index):
    recipient = sender % 3 + 1
    # The last byte of the last candidate's last value; still in its ring with all likelihood.
    deviation = in_first_batch(kind, flip, recipient, index)
    table = Table(settings(128, 3, 16), 3, deviating=(sender, deviation)).run()
    assert not table.finished
    errors = table.aborted
    assert set(errors) == {1, 2, 3}
    assert all(isinstance(error, Misbehaviour) and error.party == sender for error in errors.values()), errors
    evidence = Envelope.decode(next(iter(errors.values())).evidence)
    assert (evidence.sender, evidence.recipient, evidence.slot) == (sender, recipient, (kind, index))
    verify(sender, evidence.signed_bytes(), evidence.signature)


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        (Kind.POINTS, flip, "point"),
        (Kind.POINTS, lambda body: b"\xff" * len(body), "outside the field"),
        (Kind.POWERS, flip, "other powers"),
        (Kind.OPEN, flip, "not committed"),
        (Kind.COMMIT, flip, "not committed"),
        (Kind.POINTS, lambda body: body[:-1], "wrong length"),
        (Kind.VERDICT, lambda body: b"nonsense", None),
    ],
)
def test_a_party_that_broadcasts_what_does_not_fit_is_named(kind, change, reason):
    table = Table(settings(128, 3, 64), 5, deviating=(2, in_first_batch(kind, change))).run()
    assert not table.finished
    assert set(table.aborted) == {1, 2, 3}
    for party in (1, 3):
        error = table.aborted[party]
        if reason is not None:
            assert isinstance(error, Misbehaviour), error
            assert error.party == 2
            assert reason in error.reason


def test_a_share_outside_its_ring_is_shown_to_everybody():
    deviation = in_first_batch(Kind.PRODUCT, lambda body: b"\xff" * len(body), 3)
    table = Table(settings(), 3, deviating=(2, deviation)).run()
    assert {party: error.party for party, error in table.aborted.items()} == {1: 2, 2: 2, 3: 2}


def test_a_false_accusation_falls_back_on_the_accuser():
    """Party 3 accuses party 1 by a share that was right."""
    kept = []

    def watch(source, to, raw):
        if (source, to, Envelope.decode(raw).kind) == (1, 3, Kind.SIEVE):
            kept.append(raw)
        return raw

    accuse = in_first_batch(Kind.VERDICT, lambda body: kept[0])
    table = Table(settings(), 4, deviating=(3, accuse)).run(watch)
    assert {table.aborted[1].party, table.aborted[2].party} == {3}
    assert "without ground" in table.aborted[1].reason


def test_a_party_that_tells_two_stories_is_named_by_its_own_signatures():
    table = Table(settings(), 6).run(told_otherwise(2, Kind.COMMIT, flip, 3))
    named = {party: error for party, error in table.aborted.items() if party != 2}
    assert all(isinstance(error, Misbehaviour) and error.party == 2 for error in named.values()), named
    assert "two different broadcasts" in named[1].reason


def test_a_forged_message_is_refused():
    def edit(source, to, raw):
        message = Envelope.decode(raw)
        if (source, message.kind) == (2, Kind.COMMIT):
            proof = message.proof()
            return proof[:-1] + bytes([proof[-1] ^ 1]) + message.body
        return raw

    table = Table(settings(), 6).run(edit)
    assert {party: table.aborted[party].party for party in (1, 3)} == {1: 2, 3: 2}


def test_a_message_of_an_earlier_epoch_is_not_taken():
    """A replayed COMMIT of an earlier run carries another epoch: the parties dispute and end."""
    first = {}

    def record(source, to, raw):
        message = Envelope.decode(raw)
        if message.kind is Kind.COMMIT and message.number == 0:
            first[source, to] = raw
        return raw

    Table(settings(), 1).run(record)

    def replay(source, to, raw):
        message = Envelope.decode(raw)
        if (source, message.kind, message.number) == (2, Kind.COMMIT, 0):
            return first[source, to]
        return raw

    table = Table(settings(), 2).run(replay)
    assert not table.finished
    assert any(isinstance(error, Disagreement | Misbehaviour) for error in table.aborted.values())


def test_a_product_of_two_primes_that_is_lied_away_shows_whose_power_was_wrong():
    """Party 2 sends 1 for every first power, and promised just that: no N is accepted any more."""
    shape = settings(128, 3, 64)
    assert Table(shape, 5).run().histories[1].height == 1  # honest, the first batch has a good one
    lie = {}

    def deviate(kind, number, index, to, body):
        if index or number:
            return body
        if kind is Kind.PROMISE:
            lie["body"] = bytes(32) + pack([1] * tested, shape.number_bytes)
            return promise(table.sessions[2]._epoch, 0, 2, 0, lie["body"])
        return lie["body"] if kind is Kind.POWERS else body

    tested = Table(shape, 5).run().outcomes[1][0].tested
    table = Table(shape, 5, deviating=(2, deviate))
    table.run()
    assert {party: error.party for party, error in table.aborted.items()} == {1: 2, 2: 2, 3: 2}
    assert "wrong power" in table.aborted[1].reason


# Interruptions


@pytest.mark.parametrize("stop_after", [3, 10, 25, 40, 60, 80])
def test_an_interrupted_epoch_is_gone_on_with_from_the_finished_batches(stop_after):
    shape = settings(96, 3, 6)
    table = Table(shape, 11).run(stop_after=stop_after)
    again = Table(shape, 12, table.histories).run()
    assert not again.aborted
    assert len(again.finished) == 3


def test_a_party_that_lost_everything_gets_the_finished_batches_from_another():
    shape = settings(96, 3, 4)
    table = Table(shape, 1)
    table.run(stop_after=120)
    assert table.histories[1].height >= 1
    histories = {**table.histories, 2: History(shape, verify)}
    again = Table(shape, 2, histories).run()
    assert not again.aborted
    assert len(again.finished) == 3
    assert histories[2].head == histories[1].head


def test_a_party_lost_between_the_last_batch_and_the_signatures_still_signs():
    shape = settings(96, 3, 16)
    table = Table(shape, 1).run(lambda s, t, raw: None if Envelope.decode(raw).kind is Kind.RESULT else raw)
    assert table.histories[1].modulus is not None
    assert not table.finished
    again = Table(shape, 2, table.histories).run()
    assert check_result(shape, verify, again.finished[2])[1] == table.histories[1].modulus


def test_parties_with_different_histories_do_not_go_on():
    shape = settings(64, 3, 2)
    one, other = Table(shape, 1).run(), Table(shape, 5).run()
    histories = {**one.histories, 3: other.histories[3]}
    table = Table(shape, 9, histories).run()
    assert not table.finished
    assert all(isinstance(error, Disagreement) for error in table.aborted.values()), table.aborted


def test_nothing_secret_is_left_in_a_closed_session():
    """After the end no object that the session refers to holds a seed or a part of p or q."""
    import gc

    from accumulator.ceremony.candidates import Candidate

    table = Table(settings(), 3).run()
    table.wires.clear()
    gc.collect()
    assert table.finished
    held = [each for each in gc.get_objects() if isinstance(each, Candidate) and (each.seed or each.p)]
    assert not held


def test_the_accepted_candidate_is_never_opened():
    shape = settings(128, 3, 16)
    openings = []

    def edit(source, to, raw):
        message = Envelope.decode(raw)
        if message.kind is Kind.OPEN:
            openings.append((message.number, len(message.body)))
        return raw

    table = Table(shape, 7).run(edit)
    last = table.histories[1].height - 1
    assert {size for number, size in openings if number == last} == {32 * 15}
    assert {size for number, size in openings if number < last} <= {32 * 16}


def test_an_opened_candidate_is_that_of_the_broadcast_points():
    shape = settings(64, 3, 4)
    trace = simulate(shape, [b"a" * 32, b"b" * 32, b"c" * 32])
    again = simulate(shape, [b"a" * 32, b"b" * 32, b"c" * 32])
    assert (trace.points, trace.dealt) == (again.points, again.dealt)
