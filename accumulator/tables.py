"""Fixed-base tables: a power of a chain's generator without its squarings.

The generator g never changes, so g^(2^0), g^(2^11), g^(2^22), ... are computed once. A power then costs one
multiplication for each 11 bits of the exponent: the entry goes into the bucket of the digit, and the buckets
are added up at the end (Yao 1976; Brickell, Gordon, McCurley, Wilson 1992). Short exponents split each digit
into narrower lanes with fewer buckets. Beyond the first thousand elements the entries may lie further apart,
several digits to an entry, so that the table stays within a bound of memory.

A table serves ranges that begin at g. A later range begins at the anchor before it, which has no table.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import gmpy2

from accumulator._hashing import tagged_hash
from accumulator.errors import InvalidTable
from accumulator.group import Group
from accumulator.parameters import Parameters

DIGIT = 11  # bits; 2^11 buckets are best for ranges around 1,000 elements of 256 bits
_PRIME_BITS = 256
_DENSE_ELEMENTS = 1024
_OVERHEAD = 48  # bytes of an integer object beside its limbs
DEFAULT_MEMORY = 32 << 20
_LANES = ((11,), (6, 5), (4, 4, 3))  # widths, lowest bits first

_MAGIC = b"edgeproof/accumulator/table/v1\n"
_CHECK_TAG = "edgeproof/accumulator/table-check/v1"
_NUMBER = 8  # bytes of a header number
_SAMPLES = 8


@dataclass(frozen=True)
class Layout:
    """Which powers a table holds."""

    dense: int
    """Entries that lie one digit apart, from g on."""

    wide: int
    """Entries after them that lie `lanes` digits apart."""

    lanes: int
    """Digits to a wide entry, at least 1."""

    @property
    def entries(self) -> int:
        """How many powers are held."""
        return self.dense + self.wide

    @property
    def dense_bits(self) -> int:
        """Exponents up to this many bits need dense entries only."""
        return self.dense * DIGIT

    @property
    def bits(self) -> int:
        """Exponents up to this many bits need no squarings."""
        return self.dense_bits + self.wide * self.lanes * DIGIT

    def position(self, entry: int) -> int:
        """Entry number `entry` is g^(2^position)."""
        beyond = max(0, entry - self.dense)
        return ((entry - beyond) + beyond * self.lanes) * DIGIT

    def memory(self, value_bytes: int) -> int:
        """Bytes that the entries take."""
        return (self.entries + 1) * (value_bytes + _OVERHEAD)


def plan_layout(value_bytes: int, elements: int, memory: int) -> Layout:
    """A layout for ranges of up to `elements` elements within `memory` bytes.

    Raises:
        ValueError: no elements, or not even room for 64 entries.
    """
    room = memory // (value_bytes + _OVERHEAD) - 1
    if elements < 1 or room < 64:
        raise ValueError("a table is for one element or more and holds 64 entries or more")
    digits = -(-elements * _PRIME_BITS // DIGIT)
    dense = min(digits, -(-_DENSE_ELEMENTS * _PRIME_BITS // DIGIT))
    if digits > dense and room < 2 * dense:
        dense = room // 2
    dense = min(dense, room)
    left = digits - dense
    if not left:
        return Layout(dense, 0, 1)
    room -= dense
    if not room:  # all taken by dense entries, and a few digits are left
        dense, room, left = dense // 2, dense - dense // 2, digits - dense // 2
    lanes = -(-left // room)
    return Layout(dense, -(-left // lanes), lanes)


class FixedBaseTable:
    """Powers of one chain's generator; see `build_table` and `accumulator.table_files`.

    Immutable, so threads may share it.
    """

    def __init__(
        self, parameters: Parameters, layout: Layout, entries: Sequence[gmpy2.mpz], following: gmpy2.mpz
    ) -> None:
        self.digest = parameters.digest
        """Of the parameters that the table belongs to."""
        self.layout = layout
        self._group: Group = parameters.group
        self._entries = entries
        self._following = following  # g^(2^bits): where longer exponents go on

    def power(self, exponent: int) -> int:
        """The generator to a non-negative exponent, canonical."""
        if exponent < 0:
            raise ValueError("the exponent is negative")
        return self._group.canonical(self.residue_power(gmpy2.mpz(exponent)))

    def residue_power(self, exponent: gmpy2.mpz) -> gmpy2.mpz:
        """As `power`, sign kept.

        Cost: `table_count` in `accumulator.counting`; about one multiplication for 11 bits and 4,096 more.
        Bits beyond the layout's cost a library power.
        """
        if not exponent:
            return gmpy2.mpz(1)
        bits = self.layout.bits
        if exponent.bit_length() > bits:
            low = self.residue_power(exponent & ((gmpy2.mpz(1) << bits) - 1))
            return self._group._multiply(self._group._power(self._following, int(exponent >> bits)), low)
        digits = _digits(exponent)
        if len(digits) > self.layout.dense:
            shifts, products = [DIGIT] * self.layout.lanes, self._wide(digits)
        else:
            widths = lane_widths(len(digits))
            shifts, products = list(widths), self._dense(digits, widths)
        return self._horner(shifts, products)

    def expected_multiplications(self, bits: int) -> float:
        """What a power with an exponent of `bits` bits takes, for cost models."""
        inside = min(bits, self.layout.bits)
        digits = -(-inside // DIGIT)
        beyond = 1.1 * (bits - inside)
        if digits > self.layout.dense:
            return digits + self.layout.lanes * (DIGIT + (2 << DIGIT)) + beyond
        return _lane_cost(digits, lane_widths(digits)) + beyond

    def _wide(self, digits: list[int]) -> list[gmpy2.mpz | None]:
        """The product of each lane: entries to their digit of that lane."""
        dense, lanes = self.layout.dense, self.layout.lanes
        products = []
        for lane in range(lanes):
            work: Iterator[tuple[int, gmpy2.mpz]] = zip(
                digits[dense + lane :: lanes], self._entries[dense:], strict=False
            )
            if lane == 0:
                work = chain(zip(digits, self._entries[:dense], strict=False), work)
            products.append(self._bucketed(work, DIGIT))
        return products

    def _dense(self, digits: list[int], widths: Sequence[int]) -> list[gmpy2.mpz | None]:
        """The product of each lane: every entry to the bits of its digit that the lane takes."""
        if len(widths) == 1:
            return [self._bucketed(zip(digits, self._entries, strict=False), DIGIT)]
        products = []
        shift = 0
        for width in widths:
            mask = (1 << width) - 1
            work = (
                (digit >> shift & mask, entry)
                for digit, entry in zip(digits, self._entries, strict=False)
                if digit >> shift & mask
            )
            products.append(self._bucketed(work, width))
            shift += width
        return products

    def _bucketed(self, work: Iterator[tuple[int, gmpy2.mpz]], width: int) -> gmpy2.mpz | None:
        buckets: list[gmpy2.mpz | None] = [None] * (1 << width)
        self._group._fill(buckets, work)
        return self._group._gather(buckets)

    def _horner(self, shifts: Sequence[int], products: Sequence[gmpy2.mpz | None]) -> gmpy2.mpz:
        """The product of products[i]^(2^(the sum of the shifts below i))."""
        group = self._group
        result: gmpy2.mpz | None = None
        for shift, each in zip(reversed(shifts), reversed(products), strict=True):
            if result is not None:
                for _ in range(shift):
                    result = group._multiply(result, result)
            if each is not None:
                result = each if result is None else group._multiply(result, each)
        return gmpy2.mpz(1) if result is None else result

    # ------------------------------------------------------------------ as bytes

    def encode(self) -> bytes:
        """The table as bytes: a header that binds parameters and layout, the entries, a SHA-256 of all."""
        width = (self._group.n.bit_length() + 7) // 8
        numbers = (self.layout.dense, self.layout.wide, self.layout.lanes)
        head = _MAGIC + self.digest + b"".join(number.to_bytes(_NUMBER, "big") for number in numbers)
        body = b"".join(int(entry).to_bytes(width, "big") for entry in (*self._entries, self._following))
        return head + body + hashlib.sha256(head + body).digest()

    @classmethod
    def decode(cls, parameters: Parameters, layout: Layout, raw: bytes) -> "FixedBaseTable":
        """The table that `raw` encodes, checked.

        The hash shows damage. The self-check asks that the first entry is the generator and that powers by
        sampled entries are those of the library; it is no proof against whoever may write to the folder.

        Raises:
            InvalidTable: damaged, of other parameters or of another layout, or it does not check.
        """
        width = parameters.value_bytes
        numbers = b"".join(
            number.to_bytes(_NUMBER, "big") for number in (layout.dense, layout.wide, layout.lanes)
        )
        head = _MAGIC + parameters.digest + numbers
        length = len(head) + (layout.entries + 1) * width
        if not raw.startswith(_MAGIC + parameters.digest):
            raise InvalidTable("no table of these parameters")
        if not raw.startswith(head) or len(raw) != length + hashlib.sha256().digest_size:
            raise InvalidTable("a table of another layout")
        if hashlib.sha256(memoryview(raw)[:length]).digest() != raw[length:]:
            raise InvalidTable("the table is damaged")
        entries = [
            gmpy2.mpz(int.from_bytes(raw[place : place + width], "big"))
            for place in range(len(head), length, width)
        ]
        table = cls(parameters, layout, entries[:-1], entries[-1])
        table._check(parameters)
        return table

    def _check(self, parameters: Parameters) -> None:
        """Sampled entries are the powers that the library gives from the sampled entry before them.

        Raises:
            InvalidTable: one is not.
        """
        group = self._group
        row = [*self._entries, self._following]
        positions = [*map(self.layout.position, range(self.layout.entries)), self.layout.bits]
        seed = hashlib.shake_256(tagged_hash(_CHECK_TAG, parameters.digest)).digest(4 * _SAMPLES)
        places = {
            int.from_bytes(seed[4 * i : 4 * i + 4], "big") % len(self._entries) for i in range(_SAMPLES)
        }
        same = row[0] == parameters.generator and all(
            group.canonical(group._power(row[place], 1 << (positions[place + 1] - positions[place])))
            == group.canonical(row[place + 1])
            for place in (*places, len(row) - 2)
        )
        if not same:
            raise InvalidTable("the table does not hold the generator's powers")


def build_table(
    parameters: Parameters, elements: int = 1024, *, memory: int = DEFAULT_MEMORY
) -> FixedBaseTable:
    """The generator's table for ranges of up to `elements` elements.

    Args:
        parameters: the chain's.
        elements: longer ranges work too, at the price of a library power for what is beyond.
        memory: bytes that the entries may take; entries lie further apart where it would be exceeded.

    Cost: 256 squarings an element: a third of a second for 1,000 at 2048 bits.

    Raises:
        ValueError: no elements, or memory for fewer than 64 entries.
    """
    layout = plan_layout(parameters.value_bytes, elements, memory)
    group = parameters.group
    residue = gmpy2.mpz(parameters.generator)
    entries = []
    for entry in range(layout.entries):
        entries.append(residue)
        distance = DIGIT if entry < layout.dense else DIGIT * layout.lanes
        residue = group._squares(residue, distance)[-1]
    return FixedBaseTable(parameters, layout, entries, residue)


def usable_table(parameters: Parameters, value: int, table: FixedBaseTable | None) -> FixedBaseTable | None:
    """The table if it belongs to these parameters and `value` is its base; None otherwise."""
    if table is None or value != parameters.generator or table.digest != parameters.digest:
        return None
    return table


def power_from(parameters: Parameters, value: int, exponent: gmpy2.mpz, table: FixedBaseTable | None) -> int:
    """value^exponent, canonical, by the table where it serves."""
    usable = usable_table(parameters, value, table)
    if usable is None:
        return parameters.group.power(value, int(exponent))
    return parameters.group.canonical(usable.residue_power(exponent))


def lane_widths(digits: int) -> tuple[int, ...]:
    """How an exponent of so many digits splits each of them: the fewest expected multiplications."""
    return min(_LANES, key=lambda widths: _lane_cost(digits, widths))


def _lane_cost(digits: int, widths: Sequence[int]) -> float:
    return len(widths) * digits + sum(2 << width for width in widths) + sum(widths[:-1])


_EVERY_DIGIT = re.compile("." * DIGIT)


@lru_cache(maxsize=1)
def _digit_values() -> dict[str, int]:
    return {format(value, f"0{DIGIT}b"): value for value in range(1 << DIGIT)}


def _digits(exponent: gmpy2.mpz) -> list[int]:
    """The exponent's digits of 11 bits, lowest first."""
    text = exponent.digits(2)
    padded = text.zfill(-(-len(text) // DIGIT) * DIGIT)
    return list(map(_digit_values().__getitem__, reversed(_EVERY_DIGIT.findall(padded))))
