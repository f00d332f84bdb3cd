"""m-ary RootFactor: membership witnesses of a whole range, or of its groups, by a planned tree.

RootFactor (Sander, Ta-Shma, Yung 2000; Boneh, Bünz, Fisch 2019, section 4.1) halves the range and raises to
the product of the other half. Here a node is opened into several parts at once: each part's value is the
node's value to the product of all *other* parts, and these powers share one chain of squarings.
"""

from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import gmpy2

from accumulator.errors import Cancelled
from accumulator.group import Group
from accumulator.native import NativeGroup
from accumulator.parameters import Parameters
from accumulator.planning import TYPICAL, Costs, Plan, measured_costs, part_bounds
from accumulator.powers import simultaneous_powers
from accumulator.primes import check_width
from accumulator.tables import FixedBaseTable, usable_table
from accumulator.update import integer_product

LAZY_GROUP = 64
_MEASURE_FROM = 48
_SCATTERED = 1.3

RootPower = Callable[[gmpy2.mpz], gmpy2.mpz]


def others(products: Sequence[gmpy2.mpz]) -> list[gmpy2.mpz]:
    """For each of the integers the product of all others, by prefixes and suffixes."""
    suffixes = [gmpy2.mpz(1)]
    for each in reversed(products[1:]):
        suffixes.append(suffixes[-1] * each)
    prefix = gmpy2.mpz(1)
    result = []
    for each in products:
        result.append(prefix * suffixes.pop())
        prefix *= each
    return result


def root_factor(
    group: Group,
    value: gmpy2.mpz,
    primes: Sequence[int],
    plan: Plan,
    root_power: RootPower | None = None,
) -> Iterator[tuple[int, int, gmpy2.mpz]]:
    """(first, end, value to the product of all primes but those from first to end), part after part.

    Args:
        group: the group.
        value: the residue that all are accumulated into.
        primes: at least one.
        plan: the tree; its `stop` says how large a part may be that is not opened further.
        root_power: power of `value` by a table, if the plan counts on one.
    """
    # A stack, leftmost part on top: memory for one path of the tree.
    stack: list[tuple[int, int, gmpy2.mpz, bool]] = [(0, len(primes), value, True)]
    while stack:
        first, end, residue, at_root = stack.pop()
        size = end - first
        if size <= plan.stop or size == 1:
            yield first, end, residue
            continue
        step = plan.root(size) if at_root else plan.step(size)
        bounds = [(first + low, first + high) for low, high in part_bounds(size, step.arity)]
        exponents = others([integer_product(primes[low:high]) for low, high in bounds])
        if step.window:
            values = simultaneous_powers(group, residue, exponents, step.window)
        elif at_root and root_power is not None:
            values = [root_power(exponent) for exponent in exponents]
        else:
            values = [group._power(residue, exponent) for exponent in exponents]
        stack.extend(
            (low, high, part, False)
            for (low, high), part in zip(reversed(bounds), reversed(values), strict=True)
        )


def make_plan(
    parameters: Parameters,
    size: int,
    *,
    stop: int = 1,
    costs: Costs | None = None,
    table: FixedBaseTable | None = None,
) -> Plan:
    """A plan for `size` elements from measured costs (or the given ones), counting on the table if any."""
    if costs is None:
        # Measuring takes as long as all witnesses of some fifty elements.
        costs = TYPICAL if size < _MEASURE_FROM else measured_costs(parameters.group)
    if table is None:
        return Plan(costs, stop)
    multiplication = costs.multiplication
    if isinstance(parameters.group, NativeGroup):
        # Tables are the library's work, whatever makes the powers; their entries come from all over memory.
        multiplication = _SCATTERED * measured_costs(Group(parameters.modulus.n)).multiplication
    return Plan(costs, stop, lambda bits: table.expected_multiplications(bits) * multiplication)


class LazyWitnesses:
    """Membership witnesses of one range made on demand, group by group.

    On the first request the tree is opened down to groups of about 64 elements; a request then opens its own
    group only. Opened groups are kept, the least recently asked for going first. Threads may share it.

    Args:
        parameters: the chain's.
        value_before: the accumulator value before the range.
        primes: the range's prime representatives.
        group: elements of a group.
        keep: opened groups kept; about `group` · 0.3 KiB each at 2048 bits.
        costs: for the plan; measured when None.
        table: of the generator, if there is one; used when the range begins there.

    Raises:
        OutOfRange, NotInGroup: `value_before` is not a canonical accumulator value.
        NotPrimeRepresentative: one of `primes` has the wrong width.
    """

    def __init__(
        self,
        parameters: Parameters,
        value_before: int,
        primes: Sequence[int],
        *,
        group: int = LAZY_GROUP,
        keep: int = 16,
        costs: Costs | None = None,
        table: FixedBaseTable | None = None,
    ) -> None:
        if group < 1 or keep < 1:
            raise ValueError("a group has one element or more, and one group or more is kept")
        parameters.check_value(value_before)
        check_width(primes)
        self._group = parameters.group
        self._primes = tuple(primes)
        self._keep = keep
        self._base = gmpy2.mpz(value_before)
        self._table = usable_table(parameters, value_before, table)
        self._upper = make_plan(parameters, len(primes), stop=group, costs=costs, table=self._table)
        self._lower = make_plan(parameters, len(primes), costs=costs)
        self._groups: list[tuple[int, int, gmpy2.mpz]] = []
        self._opened: dict[int, list[int]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._primes)

    def witness(self, index: int) -> int:
        """The membership witness of `primes[index]`.

        Raises:
            IndexError: no such position.
        """
        first, witnesses = self.group(index)
        return witnesses[index - first]

    def group(self, index: int) -> tuple[int, list[int]]:
        """The membership witnesses of the group that holds position `index`, and the group's first position.

        Raises:
            IndexError: no such position.
        """
        if not 0 <= index < len(self._primes):
            raise IndexError(f"no element {index} in a range of {len(self._primes)}")
        self.open()
        with self._lock:
            which = next(i for i, (_, end, _) in enumerate(self._groups) if index < end)
            first, end, value = self._groups[which]
            opened = self._opened.pop(which, None)
            if opened is None:
                parts = root_factor(self._group, value, self._primes[first:end], self._lower)
                opened = [self._group.canonical(part) for _, _, part in parts]
            self._opened[which] = opened  # the newest last
            while len(self._opened) > self._keep:
                self._opened.pop(next(iter(self._opened)))
            return first, opened

    def open(self, cancelled: Callable[[], bool] | None = None) -> None:
        """Open the tree down to groups now, unless that was done.

        Args:
            cancelled: asked before each group; what was opened so far is then dropped.

        Raises:
            Cancelled: `cancelled` said so.
        """
        with self._lock:
            if self._groups or not self._primes:
                return
            power = self._table.residue_power if self._table else None
            opened = []
            for part in root_factor(self._group, self._base, self._primes, self._upper, power):
                Cancelled.raise_if(cancelled)
                opened.append(part)
            self._groups, self._table = opened, None  # the table has done its work
