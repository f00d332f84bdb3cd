"""Powers by a compiled kernel, where it was built and the processor has AVX-512 IFMA; gmpy2 everywhere else.

GMP's power is at the limit of the scalar multiplier. The kernel multiplies eight limbs of 52 bits at once and
takes a third of the time (docs/decisions/0013). It is optional: ``python -m accumulator.native.build`` makes
it, nothing in this room asks whether it is there but `group_of`, and results are the same integers.
"""

import importlib
from functools import lru_cache
from types import ModuleType
from typing import Any

import gmpy2

from accumulator.group import Group

__all__ = ["NativeGroup", "group_of", "kernel"]

_LIMB = 52
_MOST_LIMBS = 64
_SHORT = 32  # bits of an exponent below which the library is done before the kernel has begun
_WIDEST = 14


@lru_cache(maxsize=1)
def kernel() -> ModuleType | None:
    """The compiled module; None where it was not built or this processor cannot run it."""
    try:
        module = importlib.import_module("accumulator.native._kernel")
    except ImportError:
        return None
    return module if module.lib.edgeproof_supported() else None


def group_of(n: int) -> Group:
    """The group of N with the fastest arithmetic at hand.

    The kernel is held against the library for this N before it is used.
    """
    if kernel() is None or n % 2 == 0 or n.bit_length() + 2 > _LIMB * _MOST_LIMBS:
        return Group(n)
    group = NativeGroup(n)
    base, exponent = gmpy2.mpz(n // 3), gmpy2.mpz(n)
    agrees = group._power(base, exponent) == gmpy2.powmod(base, exponent, n)
    return group if agrees else Group(n)


class NativeGroup(Group):
    """Arithmetic modulo an odd N with powers by the kernel. Threads share it; calls run beside each other.

    Args:
        n: odd, up to 3,326 bits.
    """

    def __init__(self, n: int) -> None:
        super().__init__(n)
        module = kernel()
        assert module is not None
        self._lib, self._ffi = module.lib, module.ffi
        self._bytes = (n.bit_length() + 7) // 8
        limbs = -(-(n.bit_length() + 2) // _LIMB)  # R = 2^(52 limbs) > 4N: no subtraction is ever needed
        digit = 1 << _LIMB
        made = self._lib.edgeproof_modulus_new(
            n.to_bytes(self._bytes, "little"),
            pow(2, 2 * _LIMB * limbs, n).to_bytes(self._bytes, "little"),
            self._bytes,
            limbs,
            -pow(n, -1, digit) % digit,
        )
        if made == self._ffi.NULL:
            raise MemoryError
        self._modulus = self._ffi.gc(made, self._lib.edgeproof_modulus_free)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.n,)

    def _power(self, base: gmpy2.mpz, exponent: int) -> gmpy2.mpz:
        bits = int(exponent).bit_length() if isinstance(exponent, int) else exponent.bit_length()
        if bits < _SHORT:
            return super()._power(base, exponent)
        out = self._ffi.new("uint8_t[]", self._bytes)
        raw = exponent.to_bytes((bits + 7) // 8, "little")
        if self._lib.edgeproof_power(self._modulus, self._encode(base), raw, bits, power_window(bits), out):
            raise MemoryError
        return self._decode(out)

    def _shared_powers(
        self, base: gmpy2.mpz, exponents: list[gmpy2.mpz], window: int
    ) -> list[gmpy2.mpz] | None:
        count = len(exponents)
        lengths = [exponent.bit_length() for exponent in exponents]
        raws = [
            self._ffi.from_buffer("uint8_t[]", exponent.to_bytes((bits + 7) // 8, "little"))
            for exponent, bits in zip(exponents, lengths, strict=True)
        ]
        out = self._ffi.new("uint8_t[]", self._bytes * count)
        failed = self._lib.edgeproof_powers(
            self._modulus,
            self._encode(base),
            self._ffi.new("uint8_t *[]", raws),
            self._ffi.new("size_t[]", lengths),
            count,
            window,
            out,
        )
        if failed:
            raise MemoryError
        return [self._decode(out[place * self._bytes : (place + 1) * self._bytes]) for place in range(count)]

    def _encode(self, residue: gmpy2.mpz) -> bytes:
        return bytes((residue % self._n).to_bytes(self._bytes, "little"))

    def _decode(self, raw: Any) -> gmpy2.mpz:
        return gmpy2.mpz.from_bytes(bytes(self._ffi.buffer(raw)), "little") % self._n


@lru_cache(maxsize=8)
def _unpickled(n: int) -> Group:
    """One group a process, however many tasks bring it; where it arrives there may be no kernel."""
    return group_of(n)


@lru_cache(maxsize=1024)
def power_window(bits: int) -> int:
    """Bits of the sliding window for a power with an exponent of `bits` bits: the fewest multiplications."""
    return min(range(1, _WIDEST + 1), key=lambda width: bits / (width + 1) + (1 << (width - 1)))
