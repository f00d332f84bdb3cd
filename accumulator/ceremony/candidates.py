"""One candidate as one party lives through it: sieve, product, powers, gcd.

Everything a party draws for a candidate comes from one 32-byte seed that it committed to. A candidate that is
discarded is opened by revealing the seeds: then everybody computes every message that ought to have been sent
(`simulate`). A candidate that is accepted is never opened.

Source: Malkin, Wu, Boneh, "Experimenting with shared generation of RSA keys" (NDSS 1999), sections 2 and 3;
seed 003, section IV.C.
"""

from collections.abc import Sequence
from typing import Any

import gmpy2

from accumulator._hashing import tagged_hash
from accumulator.ceremony.biprimality import exponent
from accumulator.ceremony.settings import Settings
from accumulator.ceremony.sharing import lagrange, polynomial_points, uniform

__all__ = ["Candidate", "Trace", "commitment", "simulate", "values_dealt"]

_COMMITMENT_TAG = "edgeproof/ceremony/commitment/v1"
_UNITS_AT_ONCE = 8


def commitment(
    settings: Settings, epoch: bytes, number: int, party: int, candidate: int, seed: bytes
) -> bytes:
    """What a party publishes of a candidate's seed before it sees anything of the others': 32 bytes."""
    place = b"".join(value.to_bytes(4, "big") for value in (number, party, candidate))
    return tagged_hash(_COMMITMENT_TAG, settings.session, epoch, place, seed)


def values_dealt(sieve_round: int, party: int) -> int:
    """How many values modulo M a party deals each other for one candidate in round 1, 2, … of the sieve."""
    return 2 * (1 + _deals_factor(sieve_round, party) + (party == sieve_round + 1))


def _deals_factor(sieve_round: int, party: int) -> bool:
    # In the first round the product so far is party 1's unit alone; later everybody has an additive part.
    return sieve_round > 1 or party == 1


class Candidate:
    """One party's secrets of one candidate. `forget` drops them.

    Attributes:
        p, q: the party's additive parts once the sieve is done.
    """

    __slots__ = ("_parts", "_units", "p", "party", "q", "seed", "settings")

    def __init__(self, settings: Settings, party: int, seed: bytes) -> None:
        self.settings = settings
        self.party = party
        self.seed = seed
        self._units: tuple[Any, ...] = (self._unit("p"), self._unit("q"))
        # Additive parts of the product of units so far, modulo M.
        self._parts = list(self._units) if party == 1 else [gmpy2.mpz(0), gmpy2.mpz(0)]
        self.p = gmpy2.mpz(0)
        self.q = gmpy2.mpz(0)

    def __repr__(self) -> str:
        return f"Candidate(party={self.party})"  # never a secret

    def forget(self) -> None:
        """Drop every secret. Python may keep copies in memory it has freed; nothing holds them any more."""
        self.seed = b""
        self._units = ()
        self._parts = []
        self.p = self.q = gmpy2.mpz(0)

    def deal_sieve(self, sieve_round: int) -> list[list[Any]]:
        """The shares of one round for party 1, 2, …: for p and for q, each [factor,] [unit,] mask."""
        settings = self.settings
        values: list[tuple[Any, int]] = []
        for part, unit in zip(self._parts, self._units, strict=True):
            if _deals_factor(sieve_round, self.party):
                values.append((part, settings.degree))
            if self.party == sieve_round + 1:
                values.append((unit, settings.degree))
            values.append((gmpy2.mpz(0), settings.parties - 1))
        return self._deal(values, f"sieve/{sieve_round}", settings.sieve)

    def take_sieve(self, sieve_round: int, shares: Sequence[Sequence[Any]]) -> None:
        """Multiply: from all parties' shares to this one's additive part of the product."""
        settings = self.settings
        modulus = settings.sieve
        sums = [[gmpy2.mpz(0)] * 3, [gmpy2.mpz(0)] * 3]  # for p and q: factor, unit, mask
        for sender, values in enumerate(shares, 1):
            incoming = iter(values)
            for total in sums:
                if _deals_factor(sieve_round, sender):
                    total[0] += next(incoming)
                if sender == sieve_round + 1:
                    total[1] += next(incoming)
                total[2] += next(incoming)
        weight = lagrange(settings.parties, modulus)[self.party - 1]
        self._parts = [weight * (factor * unit + mask) % modulus for factor, unit, mask in sums]
        if sieve_round == settings.parties - 1:
            self.p, self.q = (self._lift(name, part) for name, part in zip("pq", self._parts, strict=True))

    def deal_product(self) -> list[list[Any]]:
        """Shares of p_i, q_i and a mask modulo P (seed 003, IV.C: f_i(j), g_i(j), h_i(j))."""
        degree, top = self.settings.degree, self.settings.parties - 1
        return self._deal(
            [(self.p, degree), (self.q, degree), (gmpy2.mpz(0), top)], "product", self.settings.field
        )

    def take_product(self, shares: Sequence[Sequence[Any]]) -> Any:
        """The party's point N_i of the polynomial whose constant term is N."""
        return _point(shares, self.settings.field)

    def powers(self, n: Any, over: Sequence[Any]) -> list[Any]:
        """Each base to the party's share of the biprimality test's exponent."""
        power = exponent(self.party, n, self.p, self.q)
        return [gmpy2.powmod(base, power, n) for base in over]

    def deal_gcd(self, n: Any) -> list[list[Any]]:
        """Shares modulo N of a random factor, of p_i + q_i (less 1 for party 1) and of a mask."""
        degree, top = self.settings.degree, self.settings.parties - 1
        factor = uniform(self.seed, "gcd/factor", int(n), 1)[0]
        total = (self.p + self.q - (self.party == 1)) % n
        return self._deal([(factor, degree), (total, degree), (gmpy2.mpz(0), top)], "gcd", int(n))

    def take_gcd(self, n: Any, shares: Sequence[Sequence[Any]]) -> Any:
        """The party's point of the polynomial whose constant term is r · (p + q - 1)."""
        return _point(shares, int(n))

    def _deal(self, values: Sequence[tuple[Any, int]], label: str, modulus: int) -> list[list[Any]]:
        drawn = iter(uniform(self.seed, label, modulus, sum(degree for _, degree in values)))
        columns = [
            polynomial_points(value, [next(drawn) for _ in range(degree)], self.settings.parties, modulus)
            for value, degree in values
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def _unit(self, name: str) -> Any:
        attempt = 0
        while True:
            for value in uniform(self.seed, f"unit/{name}/{attempt}", self.settings.sieve, _UNITS_AT_ONCE):
                if gmpy2.gcd(value, self.settings.sieve) == 1:
                    return value
            attempt += 1

    def _lift(self, name: str, part: Any) -> Any:
        """From a residue modulo M to an integer: joined with the residue modulo `small`, multiples added."""
        settings = self.settings
        residue = gmpy2.mpz(0)
        low, high = 0, settings.span // (settings.small * settings.sieve)
        if self.party == 1:
            residues = settings.small_residues
            residue = gmpy2.mpz(residues[int(uniform(self.seed, f"residue/{name}", len(residues), 1)[0])])
            step = settings.small * settings.sieve
            low, high = -(-settings.base // step), (settings.base + settings.span) // step
        multiple = low + uniform(self.seed, f"multiple/{name}", high - low, 1)[0]
        inverse = gmpy2.invert(settings.small, settings.sieve)
        joined = residue + settings.small * ((part - residue) * inverse % settings.sieve)
        return joined + settings.small * settings.sieve * multiple


def _point(shares: Sequence[Sequence[Any]], modulus: int) -> Any:
    left, right, mask = (sum(column) for column in zip(*shares, strict=True))
    return (left * right + mask) % modulus


class Trace:
    """Everything that the parties of one opened candidate ought to have sent.

    Attributes:
        candidates: every party's secrets.
        dealt: for each private message, named ("sieve", round) or ("product", 0): dealt[name][i - 1][j - 1]
            are the values from party i to party j.
        points: every party's point of the product.
    """

    def __init__(self, settings: Settings, seeds: Sequence[bytes]) -> None:
        parties = range(settings.parties)
        self.candidates = [Candidate(settings, i + 1, seed) for i, seed in enumerate(seeds)]
        self.dealt: dict[tuple[str, int], list[list[list[Any]]]] = {}
        for number in range(1, settings.parties):
            rows = self.dealt["sieve", number] = [each.deal_sieve(number) for each in self.candidates]
            for j in parties:
                self.candidates[j].take_sieve(number, [rows[i][j] for i in parties])
        rows = self.dealt["product", 0] = [each.deal_product() for each in self.candidates]
        self.points = [self.candidates[j].take_product([rows[i][j] for i in parties]) for j in parties]

    @property
    def p(self) -> Any:
        """The first factor."""
        return sum(candidate.p for candidate in self.candidates)

    @property
    def q(self) -> Any:
        """The second factor."""
        return sum(candidate.q for candidate in self.candidates)


def simulate(settings: Settings, seeds: Sequence[bytes]) -> Trace:
    """Compute an opened candidate from all its seeds, party 1's first."""
    return Trace(settings, seeds)
