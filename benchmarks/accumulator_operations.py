"""The accumulator's operations as the benchmark does them: on what, how often, beside what.

Elements, witnesses and proofs that an operation begins with are made beforehand and not timed.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import gmpy2

import accumulator as acc
from accumulator.counting import (
    Count,
    CountingParameters,
    accumulate_count,
    all_membership_witnesses_count,
    power_count,
    table_count,
)
from accumulator.group import Group
from accumulator.planning import Plan, measured_costs
from accumulator.pools import WitnessPool
from accumulator.table_files import load_or_build_table

__all__ = ["LibraryParameters", "Material", "Operation", "operations", "with_counts"]


@dataclass
class Operation:
    """One line of the table."""

    name: str
    action: Callable[[], object]
    count: Count | None = None
    """Multiplications modulo N; None where none are made or where they are not of one size."""
    peer: tuple[str, int] | None = None
    """What another implementation is asked for to be compared with it."""
    times: int = 1
    """How often `action` does the operation."""
    prepare: Callable[[], object] | None = None
    """Called before each round, not timed."""
    pooled: Callable[[WitnessPool], object] | None = None
    """The same with worker processes, where they have a way of their own to do it."""
    native: Operation | None = None
    """The same with powers by the kernel."""
    cpu: list[float] = field(default_factory=list)
    """Milliseconds of this process alone, pools off."""
    wall: list[float] = field(default_factory=list)
    """Milliseconds on the clock, pools on."""
    peers: dict[str, list[float]] = field(default_factory=dict)

    def sample(self, pool: WitnessPool) -> None:
        """Time it once in every way that it has."""
        if self.prepare is not None:
            self.prepare()
        wall, cpu = time.perf_counter(), time.process_time()
        self.action()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.cpu.append(cpu * 1000 / self.times)
        if self.pooled is not None:
            wall = time.perf_counter()
            self.pooled(pool)
            wall = time.perf_counter() - wall
        self.wall.append(wall * 1000 / self.times)
        if self.native is not None:
            self.native.sample(pool)


class LibraryParameters(acc.Parameters):
    """Parameters whose arithmetic is the library's, whether or not a kernel is installed."""

    @cached_property
    def group(self) -> Group:
        """The group over gmpy2."""
        return Group(self.modulus.n)


@dataclass(frozen=True)
class Material:
    """What the operations work on, made beforehand."""

    parameters: acc.Parameters
    small: int
    large: int
    digests: list[bytes]
    primes: list[int]
    offsets: list[int]
    anchor: int
    """Where a later range begins."""
    tables: acc.FixedBaseTable

    @classmethod
    def make(cls, small: int, large: int, folder: Path) -> Material:
        """Elements and a table; not timed."""
        parameters = LibraryParameters(acc.default_parameters("edge-a").modulus, "edge-a")
        digests = [hashlib.sha256(f"benchmark {number}".encode()).digest() for number in range(large)]
        found = [acc.hash_to_prime(digest) for digest in digests]
        primes = [each.prime for each in found]
        anchor = acc.accumulate(parameters, parameters.generator, primes[-2:])
        table = load_or_build_table(parameters, folder, large)
        return cls(parameters, small, large, digests, primes, [each.offset for each in found], anchor, table)


def operations(material: Material) -> list[Operation]:
    parameters, table = material.parameters, material.tables
    g, anchor = parameters.generator, material.anchor
    source = random.Random(1)  # the same operands in every run
    exponent = gmpy2.mpz(source.getrandbits(256) | 1 << 255)
    group = parameters.group
    made = [Operation("reference_powmod", lambda: [group._power(anchor, exponent) for _ in range(50)],
                      power_count(int(exponent)), times=50)]  # fmt: skip

    sample = material.digests[:50]

    def hash_all() -> None:
        acc.is_prime.cache_clear()
        for digest in sample:
            acc.hash_to_prime(digest)

    def check_all() -> None:
        acc.is_prime.cache_clear()
        for digest, offset in zip(sample, material.offsets, strict=False):
            acc.check_certificate(digest, offset)

    made.append(Operation("hash_to_prime", hash_all, peer=("hash_to_prime", 50), times=50))
    made.append(Operation("check_certificate", check_all, times=50))
    for size in (material.small, material.large):
        primes = material.primes[:size]
        by_table = table_count(table.layout, acc.product(primes))
        made += [
            Operation(
                f"accumulate_{size}", partial(acc.accumulate, parameters, g, primes, table=table),
                by_table, ("accumulate", size),
            ),
            Operation(
                f"accumulate_{size}_from_anchor", partial(acc.accumulate, parameters, anchor, primes),
                accumulate_count(primes), ("accumulate_from_anchor", size),
            ),
        ]  # fmt: skip
    everything = material.primes
    made += [
        Operation(
            f"witness_{material.large}",
            lambda: acc.membership_witness(parameters, g, everything, 0, table=table),
            table_count(table.layout, acc.product(everything[1:])),
            ("witness", material.large),
        ),
        Operation(
            f"witness_{material.large}_from_anchor",
            lambda: acc.membership_witness(parameters, anchor, everything, 0),
            accumulate_count(everything[1:]),
            ("witness_from_anchor", material.large),
        ),
    ]
    costs = measured_costs(parameters.group)
    for size in (material.small, material.large):
        primes = material.primes[:size]
        made.append(
            Operation(
                f"all_witnesses_{size}",
                partial(acc.all_membership_witnesses, parameters, anchor, primes),
                all_membership_witnesses_count(primes, Plan(costs)),
                ("all_witnesses", size),
                pooled=_pooled(parameters, anchor, primes),
            )
        )
    return made + _uncounted(material)


def _uncounted(material: Material) -> list[Operation]:
    """Operations whose multiplications no formula gives."""
    parameters, small = material.parameters, material.primes[: material.small]
    from_g = Operation(
        f"all_witnesses_{material.small}_from_g",
        lambda: acc.all_membership_witnesses(parameters, parameters.generator, small, table=material.tables),
        peer=("all_witnesses", material.small),
    )
    return [from_g, *_verifications(material)]


def _pooled(parameters: acc.Parameters, anchor: int, primes: list[int]) -> Callable[[WitnessPool], object]:
    return lambda pool: pool.all_membership_witnesses(parameters, anchor, primes)


def _verifications(material: Material) -> list[Operation]:
    parameters, anchor = material.parameters, material.anchor
    count = 100
    primes, digests = material.primes[:count], material.digests[:count]
    offsets = material.offsets[:count]
    value = acc.accumulate(parameters, anchor, primes)
    witnesses = acc.all_membership_witnesses(parameters, anchor, primes)
    witness, proof = acc.aggregate(parameters, primes, witnesses, value)
    claims = [acc.MembershipInstance(parameters, value, p, w) for p, w in zip(primes, witnesses, strict=True)]

    def certificates() -> list[int]:
        acc.is_prime.cache_clear()
        return [acc.check_certificate(d, o) for d, o in zip(digests, offsets, strict=True)]

    def one() -> None:
        acc.is_prime.cache_clear()
        for digest, offset, each in zip(digests[:20], offsets, witnesses, strict=False):
            acc.verify_membership(parameters, value, acc.check_certificate(digest, offset), each)

    def one_by_one() -> None:
        for prime, each in zip(primes, witnesses, strict=True):
            acc.verify_membership(parameters, value, prime, each)

    def bare() -> None:
        acc.verify_aggregate(parameters, value, primes, witness, proof)

    def batch() -> None:
        acc.verify_aggregate(parameters, value, certificates(), witness, proof)

    def mixed() -> None:
        certificates()
        acc.verify_batch(claims)

    many = material.primes[: material.small]
    after = acc.accumulate(parameters, anchor, many)
    append_only = acc.prove_append_only(parameters, anchor, many, after, b"benchmark")
    absent = hashlib.sha256(b"absent").digest()
    absence = acc.prove_range_non_membership(parameters, anchor, many, after, absent, b"benchmark")
    return [
        Operation("verify_one", one, peer=("verify_one", 1), times=20),
        Operation("verify_100_one_by_one_bare", one_by_one, prepare=certificates),
        Operation("verify_batch_100", batch, peer=("verify_batch", 100)),
        Operation("verify_batch_100_bare", bare, prepare=certificates),
        Operation("verify_batch_100_many_values", mixed),
        Operation(
            "append_only_prove",
            lambda: acc.prove_append_only(parameters, anchor, many, after, b"benchmark"),
        ),
        Operation(
            "append_only_verify",
            lambda: acc.verify_append_only(parameters, anchor, after, append_only, b"benchmark"),
        ),
        Operation(
            "non_membership_prove",
            lambda: acc.prove_range_non_membership(parameters, anchor, many, after, absent, b"benchmark"),
        ),
        Operation(
            "non_membership_verify",
            lambda: acc.verify_range_non_membership(
                parameters, anchor, after, absent, absence, append_only, b"benchmark"
            ),
        ),
    ]


def with_counts(made: list[Operation], material: Material) -> list[Operation]:
    """Count those that have no formula, by doing them once more in arithmetic that counts itself.

    Those without arithmetic modulo N stay without a count.
    """
    parameters = CountingParameters(material.parameters.modulus, material.parameters.chain)
    table = material.tables
    # The same entries, but multiplied by the group that counts.
    counting = acc.FixedBaseTable(parameters, table.layout, table._entries, table._following)
    again = _uncounted(replace(material, parameters=parameters, tables=counting))
    counted = {}
    for operation in again:
        parameters.counting_group.reset()
        operation.action()
        count = parameters.counting_group.count
        counted[operation.name] = Count(
            round(count.squarings / operation.times), round(count.multiplications / operation.times)
        )
    return [replace(each, count=each.count or counted.get(each.name)) for each in made]
