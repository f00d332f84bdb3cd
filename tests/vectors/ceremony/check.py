"""Checks a ceremony's transcript or modulus file in plain Python integers, without gmpy2 and this project.

Run ``python -I -S tests/vectors/ceremony/check.py FILE``. Exit code 0: everything that is checked holds, and
N is printed; 1: the first fault is printed.

Of a transcript it checks every signature (own P-256 arithmetic), that every message binds those before it,
the seeds that were opened against their commitments, every N by interpolation, and of the accepted one its
shape, all rounds of the biprimality test and the gcd test. It does not compute the discarded candidates'
messages anew.
"""

import base64
import hashlib
import json
import math
import random
import sys
from functools import cached_property
from pathlib import Path

MAGIC = b"edgeproof/ceremony-transcript/v1\n"
HELLO, COMMIT, POINTS, PROMISE, POWERS, GCD_POINT, OPEN, VERDICT, RESULT = 1, 3, 6, 7, 8, 10, 11, 12, 13

# ---------------------------------------------------------------- P-256 (FIPS 186-4, D.1.2.3)

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


def add(a, b):
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(scalar, point):
    result = None
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def integer(der, at):
    insist(der[at] == 2, "no DER integer")
    end = at + 2 + der[at + 1]
    return int.from_bytes(der[at + 2 : end], "big"), end


def check_signature(key, message, der):
    insist(der[0] == 0x30 and der[1] == len(der) - 2, "no DER signature")
    r, at = integer(der, 2)
    s, end = integer(der, at)
    insist(end == len(der) and 0 < r < ORDER and 0 < s <= ORDER // 2, "a signature out of range")
    hashed = int.from_bytes(hashlib.sha256(message).digest(), "big")
    inverse = pow(s, -1, ORDER)
    point = add(times(hashed * inverse % ORDER, G), times(r * inverse % ORDER, key))
    insist(point is not None and point[0] % ORDER == r, "a signature that does not hold")


def key_of(pem):
    der = base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
    at = der.index(SPKI) + len(SPKI)
    x, y = (int.from_bytes(der[at + part : at + part + 32], "big") for part in (0, 32))
    insist((y * y - x * x * x + 3 * x - B) % P == 0, "a key that is not on the curve")
    return x, y


# ---------------------------------------------------------------- hashing and number theory


def insist(holds, what):
    if not holds:
        raise SystemExit(what)


def frame(tag, fields):
    return b"".join(len(part).to_bytes(8, "big") + part for part in (tag.encode(), *fields))


def sha(tag, *fields):
    return hashlib.sha256(frame("edgeproof/ceremony/" + tag + "/v1", fields)).digest()


def shake(length, tag, *fields):
    return hashlib.shake_256(frame("edgeproof/ceremony/" + tag + "/v1", fields)).digest(length)


def is_prime(n):
    if any(n % small == 0 for small in (2, 3, 5, 7, 11, 13)):
        return n in (2, 3, 5, 7, 11, 13)
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    for _ in range(20):
        x = pow(random.randrange(2, n - 1), (n - 1) >> twos, n)
        if x not in (1, n - 1) and all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def at_zero(values, modulus):
    """The polynomial through (1, values[0]), (2, values[1]), ... at 0."""
    total = 0
    for i, value in enumerate(values, 1):
        top = bottom = 1
        for j in range(1, len(values) + 1):
            if j != i:
                top, bottom = top * -j, bottom * (i - j)
        total += value * top * pow(bottom, -1, modulus)
    return total % modulus


def numbers(raw, width):
    insist(len(raw) % width == 0, "a body of the wrong length")
    return [int.from_bytes(raw[at : at + width], "big") for at in range(0, len(raw), width)]


# ---------------------------------------------------------------- messages


def split(raw):
    parts = []
    while raw:
        end = 4 + int.from_bytes(raw[:4], "big")
        insist(len(raw) >= end, "a list that ends too early")
        parts.append(raw[4:end])
        raw = raw[end:]
    return parts


class Message:
    def __init__(self, raw, keys, session):
        insist(raw[:4] == b"EPC1" and len(raw) > 144, "no message")
        end = 144 + raw[143]
        self.session, self.epoch, self.number = raw[4:36], raw[36:68], int.from_bytes(raw[68:72], "big")
        self.kind, self.index = raw[72], int.from_bytes(raw[73:77], "big")
        self.sender, self.recipient, self.seen, self.body = raw[77], raw[78], raw[79:111], raw[end:]
        insist(self.session == session, "a message of another ceremony")
        insist(hashlib.sha256(self.body).digest() == raw[111:143], "a body that its header does not name")
        insist(1 <= self.sender <= len(keys), "a message of nobody")
        check_signature(keys[self.sender - 1], b"edgeproof/ceremony/message/v1\n" + raw[:143], raw[144:end])
        self.hash = hashlib.sha256(raw[:end]).digest()


class Ceremony:
    def __init__(self, roster_bytes):
        roster = json.loads(roster_bytes)
        self.session = sha("session", roster_bytes)
        self.keys = [key_of(party["certificate"]) for party in roster["parties"]]
        self.bits, self.batch, self.rounds = roster["bits"], roster["batch"], roster["rounds"]
        self.width = (self.bits + 7) // 8

    @cached_property
    def field(self):
        length = self.bits + 9
        raw = int.from_bytes(shake(length // 8 + 1, "field", self.session), "big")
        field = raw & ((1 << (length - 2)) - 1) | 1 << (length - 1) | 1
        while not is_prime(field):
            field += 2
        return field

    def check_result(self, messages):
        insist([each.sender for each in messages] == list(range(1, len(self.keys) + 1)), "not all signed")
        insist({each.kind for each in messages} == {RESULT}, "signatures under something else")
        (body,) = {each.body for each in messages}
        insist(len(body) == 32 + self.width, "a result of the wrong length")
        return body[:32], int.from_bytes(body[32:], "big")

    def check_batch(self, number, record, head):
        """The batch's candidates as {position: N}, and its rounds of broadcasts."""
        messages = [Message(raw, self.keys, self.session) for raw in split(record)]
        parties = len(self.keys)
        insist(len(messages) % parties == 0, "a round that lacks a message")
        rounds = [messages[at : at + parties] for at in range(0, len(messages), parties)]
        for each in rounds:
            insist([one.sender for one in each] == list(range(1, parties + 1)), "a round out of order")
            insist(len({(one.kind, one.index) for one in each}) == 1, "a round of two kinds")
            insist({one.recipient for one in each} == {0}, "a broadcast to one party")
        hello, *rounds = rounds
        insist(hello[0].kind == HELLO, "no greetings")
        epoch = sha("epoch", self.session, *[one.hash for one in hello])
        seen = sha("seen", epoch, head)
        for each in rounds:
            insist(all((one.epoch, one.number, one.seen) == (epoch, number, seen) for one in each),
                   "a message that does not bind those before it")  # fmt: skip
            seen = sha("seen", seen, *[one.hash for one in each])
        by_kind = {(each[0].kind, each[0].index): [one.body for one in each] for each in rounds}
        width = (self.field.bit_length() + 7) // 8
        columns = [numbers(body, width) for body in by_kind[POINTS, 0]]
        insist(all(len(column) == self.batch for column in columns), "not a point for each candidate")
        found = [at_zero(column, self.field) for column in zip(*columns, strict=True)]
        self.check_promises(epoch, number, by_kind)
        return epoch, found, by_kind

    def check_promises(self, epoch, number, by_kind):
        for (kind, index), bodies in by_kind.items():
            if kind == POWERS:
                for party, (body, promised) in enumerate(
                    zip(bodies, by_kind[PROMISE, index], strict=True), 1
                ):
                    place = b"".join(value.to_bytes(4, "big") for value in (number, party, index))
                    insist(sha("promise", epoch, place, body) == promised, "powers that were not promised")

    def check_openings(self, epoch, number, by_kind, accepted):
        opened = [c for c in range(self.batch) if c != accepted]
        for party, (commitments, seeds) in enumerate(
            zip(by_kind[COMMIT, 0], by_kind[OPEN, 0], strict=True), 1
        ):
            insist(len(seeds) == 32 * len(opened), "not a seed for each discarded candidate")
            for at, c in enumerate(opened):
                place = b"".join(value.to_bytes(4, "big") for value in (number, party, c))
                made = sha("commitment", self.session, epoch, place, seeds[32 * at : 32 * at + 32])
                insist(made == commitments[32 * c : 32 * c + 32], "a seed that was not committed to")

    def check_accepted(self, n, by_kind):
        insist(n.bit_length() == self.bits and n % 4 == 1, "an N of another shape")
        insist(all(n % small for small in range(3, 1 << 12, 2)), "an N with a small factor")
        insist(not is_prime(n), "an N that is prime")
        # The last powers and the last points are those of the candidate that was accepted.
        powers = [bodies for (kind, _), bodies in by_kind.items() if kind == POWERS][-1]
        columns = [numbers(body[32:], self.width) for body in powers]
        insist(
            all(len(column) == self.rounds for column in columns), "too few rounds of the biprimality test"
        )
        for first, *others in zip(*columns, strict=True):
            product = math.prod(others) % n
            insist(all(0 < power < n for power in (first, *others)), "a power outside 1..N-1")
            insist(first in (product, n - product), "an N that is not shown to be a product of two primes")
        points = [bodies for (kind, _), bodies in by_kind.items() if kind == GCD_POINT][-1]
        blinded = at_zero([int.from_bytes(body, "big") for body in points], n)
        insist(math.gcd(n, blinded) == 1, "an N that fails the gcd test")


def check_transcript(raw):
    roster, *parts = split(raw[len(MAGIC) :])
    ceremony = Ceremony(roster)
    *batches, result = parts
    insist(result[:1] == b"R" and all(each[:1] == b"B" for each in batches), "parts in another order")
    messages = [Message(each, ceremony.keys, ceremony.session) for each in split(result[1:])]
    digest, n = ceremony.check_result(messages)
    head = sha("head", ceremony.session)
    for number, batch in enumerate(batches):
        epoch, found, by_kind = ceremony.check_batch(number, batch[1:], head)
        last = number == len(batches) - 1
        accepted = found.index(n) if last and n in found else None
        insist(last == (accepted is not None), "the result is not the last batch's")
        ceremony.check_openings(epoch, number, by_kind, accepted)
        head = sha("head", head, batch[1:])
    insist(head == digest, "the parties signed another transcript")
    ceremony.check_accepted(n, by_kind)
    return n


def check_modulus(raw):
    file = json.loads(raw)
    # The roster's own bytes: canonical JSON, keys sorted, no spaces.
    ceremony = Ceremony(json.dumps(file["roster"], sort_keys=True, separators=(",", ":")).encode())
    messages = [Message(bytes.fromhex(each), ceremony.keys, ceremony.session) for each in file["signatures"]]
    digest, n = ceremony.check_result(messages)
    insist(file["schema"] == "edgeproof/modulus/v1" and file["origin"] == "ceremony", "another kind of file")
    insist((digest.hex(), n) == (file["transcript"], int(file["modulus"], 16)), "another result was signed")
    insist(n.bit_length() == ceremony.bits and n % 4 == 1 and not is_prime(n), "an N of another shape")
    return n


def main():
    raw = Path(sys.argv[1]).read_bytes()
    n = check_transcript(raw) if raw.startswith(MAGIC) else check_modulus(raw)
    print(f"{n:x}")


if __name__ == "__main__":
    main()
