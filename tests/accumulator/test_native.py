"""The compiled kernel gives the library's integers; where it cannot be used, nobody notices."""

import importlib.util
import pickle
import random
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from types import SimpleNamespace

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accumulator import Modulus, Parameters, all_membership_witnesses, build_table, native
from accumulator.group import Group
from accumulator.native import NativeGroup, group_of, power_window
from accumulator.pools import WitnessPool
from accumulator.powers import simultaneous_powers

WIDTHS = (512, 830, 1024, 1246, 1247, 2048, 3072, 3326)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The kernel as its source stands now, whether or not it is installed."""
    build = pytest.importorskip("accumulator.native.build")
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    file = build.build(tmp_path_factory.mktemp("kernel"))
    spec = importlib.util.spec_from_file_location("_kernel", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not module.lib.edgeproof_supported():
        pytest.skip("this processor has no AVX-512 IFMA")
    return module


@pytest.fixture
def used(compiled, monkeypatch):
    monkeypatch.setattr(native, "kernel", lambda: compiled)


@pytest.fixture(scope="module")
def groups(compiled):
    """A kernel's group of each width, at the borders of the numbers of registers among them."""
    source = random.Random(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "kernel", lambda: compiled)
        made = [NativeGroup(source.getrandbits(bits) | 1 << (bits - 1) | 1) for bits in WIDTHS]
        return [*made, *(NativeGroup((1 << bits) - 1) for bits in WIDTHS), NativeGroup((1 << 2047) + 1)]


exponents = st.one_of(
    st.integers(0, 2**64), st.integers(1, 2**700), st.integers(0, 600).map(lambda bit: 1 << bit),
    st.integers(1, 600).map(lambda bits: (1 << bits) - 1),
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(0, 2**3400), exponents)
def test_powers_equal_pow(groups, data, base, exponent):
    group = data.draw(st.sampled_from(groups))
    base = data.draw(st.sampled_from([base, group.n - 1, group.n - 2, 0, 1, 2, group.n + 1]))
    assert group._power(gmpy2.mpz(base), gmpy2.mpz(exponent)) == pow(base, exponent, group.n)
    assert group._power(gmpy2.mpz(base), exponent) == pow(base, exponent, group.n)


@settings(deadline=None, max_examples=100)
@given(st.data(), st.integers(0, 2**3400), st.lists(exponents, min_size=1, max_size=5), st.integers(1, 9))
def test_simultaneous_powers_equal_pow(groups, data, base, several, window):
    group = data.draw(st.sampled_from(groups))
    made = simultaneous_powers(group, gmpy2.mpz(base), [gmpy2.mpz(each) for each in several], window)
    assert made == [pow(base, each, group.n) for each in several]


@pytest.mark.parametrize("base", [0, 1, 2])
def test_exponents_zero_and_one_and_those_with_zeros_in_front(compiled, groups, base, monkeypatch):
    """To the kernel itself, whatever lies in memory behind the exponent."""
    monkeypatch.setattr(native, "_SHORT", 0)
    lib, ffi = compiled.lib, compiled.ffi
    for group in groups[:3]:
        for exponent in (0, 1):
            assert group._power(gmpy2.mpz(base), exponent) == pow(base, exponent, group.n)
            assert group._power(gmpy2.mpz(base), gmpy2.mpz(exponent)) == pow(base, exponent, group.n)
        out = ffi.new("uint8_t[]", group._bytes * 3)
        raw = group._encode(gmpy2.mpz(base))
        behind = b"\xff" * 64
        for value, bits in ((0, 0), (0, 1), (0, 13), (1, 1), (1, 16), (5, 40)):
            memory = value.to_bytes((bits + 7) // 8, "little") + behind
            for window in (1, 3, 8):
                assert lib.edgeproof_power(group._modulus, raw, memory, bits, window, out) == 0
                assert group._decode(out[0 : group._bytes]) == pow(base, value, group.n)
                several = [ffi.from_buffer("uint8_t[]", each) for each in (memory, b"\x03" + behind, memory)]
                pointers, lengths = ffi.new("uint8_t *[]", several), ffi.new("size_t[]", [bits, 2, bits])
                failed = lib.edgeproof_powers(group._modulus, raw, pointers, lengths, 3, window, out)
                assert failed == 0
                found = [group._decode(out[at * group._bytes : (at + 1) * group._bytes]) for at in range(3)]
                assert found == [pow(base, each, group.n) for each in (value, 3, value)]


def test_the_processor_is_asked_for_all_that_the_compiler_may_use():
    source = resources.files("accumulator.native").joinpath("kernel.c").read_text()
    used = set(",".join(re.findall(r'target\("([^"]+)"\)', source)).split(","))
    assert used >= {"avx512f", "avx512ifma", "bmi2"}
    body = source[source.index("int edgeproof_supported") :]
    body = body[: body.index("\n}")]
    assert set(re.findall(r'__builtin_cpu_supports\("([^"]+)"\)', body)) == used
    # The build itself names no instruction set.
    assert "-m" not in resources.files("accumulator.native").joinpath("build.py").read_text().split('"""')[-1]


def test_long_runs_of_full_limbs_carry(groups):
    """Residues of all ones: every carry ripples through all limbs."""
    for group in groups:
        bits = group.n.bit_length() - 1
        for base in ((1 << bits) - 1, ((1 << bits) - 1) ^ 1, 1 << bits, (1 << bits) - (1 << 51)):
            assert group._power(gmpy2.mpz(base), (1 << 64) - 1) == pow(base, (1 << 64) - 1, group.n)


@pytest.fixture
def pair(used, modulus):
    """The same parameters over the kernel and over the library."""
    fast, plain = Parameters(modulus, "edge-a"), Parameters(modulus, "edge-a")
    plain.__dict__["group"] = Group(modulus.n)
    assert type(fast.group) is NativeGroup
    return fast, plain


def test_all_witnesses_are_those_of_the_library(pair, range_of):
    fast, plain = pair
    for size in (1, 2, 63, 200):
        made = range_of(plain, size, f"native {size}")
        assert all_membership_witnesses(fast, made.value_before, made.primes) == made.witnesses
        assert all_membership_witnesses(fast, made.value_after, made.primes) == all_membership_witnesses(
            plain, made.value_after, made.primes
        )
        table = build_table(fast, size)
        assert all_membership_witnesses(fast, made.value_before, made.primes, table=table) == made.witnesses


def test_threads_share_a_group(used, modulus):
    group = group_of(modulus.n)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda each: group._power(gmpy2.mpz(each), each**40 + 1), range(2, 200)))
    assert made == [pow(each, each**40 + 1, modulus.n) for each in range(2, 200)]


def test_a_group_goes_through_pickle_and_pools(used, modulus, range_of):
    parameters = Parameters(modulus, "edge-a")
    assert type(parameters.group) is NativeGroup
    again = pickle.loads(pickle.dumps(parameters))
    assert again.group.power(5, 1 << 300) == parameters.group.power(5, 1 << 300)
    made = range_of(parameters, 120, "native pool")
    with WitnessPool(2) as pool:
        assert pool.all_membership_witnesses(parameters, made.value_before, made.primes) == made.witnesses


def test_the_library_serves_where_the_kernel_cannot(used, monkeypatch, modulus):
    for n in (1 << 600, (1 << 3327) - 1):
        assert type(group_of(n)) is Group
    monkeypatch.setattr(native, "kernel", lambda: None)
    assert type(Parameters(Modulus(modulus.n, modulus.origin), "edge-a").group) is Group


def test_a_kernel_that_miscalculates_is_not_used(used, compiled, monkeypatch, modulus):
    def wrong(*arguments):
        result = compiled.lib.edgeproof_power(*arguments)
        arguments[-1][0] ^= 1
        return result

    names = ("edgeproof_modulus_new", "edgeproof_modulus_free", "edgeproof_powers")
    broken = SimpleNamespace(**{name: getattr(compiled.lib, name) for name in names}, edgeproof_power=wrong)
    monkeypatch.setattr(native, "kernel", lambda: SimpleNamespace(lib=broken, ffi=compiled.ffi))
    assert type(group_of(modulus.n)) is Group


def test_a_kernel_without_memory_says_so(used, compiled, monkeypatch, modulus):
    group = group_of(modulus.n)
    group._lib = SimpleNamespace(edgeproof_power=lambda *a: -1, edgeproof_powers=lambda *a: -1)
    with pytest.raises(MemoryError):
        group._power(gmpy2.mpz(3), 1 << 100)
    with pytest.raises(MemoryError):
        simultaneous_powers(group, gmpy2.mpz(3), [gmpy2.mpz(7)], 2)


def test_an_absent_or_unsupported_kernel_is_none(monkeypatch):
    monkeypatch.setattr(native, "importlib", SimpleNamespace(import_module=_absent))
    assert native.kernel.__wrapped__() is None
    foreign = SimpleNamespace(lib=SimpleNamespace(edgeproof_supported=lambda: 0))
    monkeypatch.setattr(native, "importlib", SimpleNamespace(import_module=lambda name: foreign))
    assert native.kernel.__wrapped__() is None


def test_a_processor_that_lacks_something_is_served_by_the_library(compiled, monkeypatch, modulus):
    asked = []
    lib = SimpleNamespace(edgeproof_supported=lambda: asked.append(1) or 0)
    foreign = SimpleNamespace(import_module=lambda name: SimpleNamespace(lib=lib, ffi=compiled.ffi))
    monkeypatch.setattr(native, "importlib", foreign)
    native.kernel.cache_clear()
    try:
        group = group_of(modulus.n)
        assert asked
        assert type(group) is Group
        assert group.power(3, 1 << 300) == Group(modulus.n).power(3, 1 << 300)
    finally:
        native.kernel.cache_clear()


def _absent(name):
    raise ImportError(name)


def test_the_power_window_takes_the_fewest_multiplications():
    assert [power_window(bits) for bits in (1, 256, 256_000)] == [1, 5, 12]
