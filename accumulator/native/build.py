"""``python -m accumulator.native.build``: compile the optional kernel beside this file.

It needs a C compiler and the ``native`` extra. Nothing else does: without the compiled module, or on a
processor without AVX-512 IFMA, all arithmetic goes through gmpy2.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cffi import FFI

_DECLARATIONS = """
typedef ... edgeproof_modulus;
int edgeproof_supported(void);
edgeproof_modulus *edgeproof_modulus_new(
    const uint8_t *n, const uint8_t *square, int bytes, int limbs, uint64_t inverse);
void edgeproof_modulus_free(edgeproof_modulus *modulus);
int edgeproof_power(const edgeproof_modulus *m, const uint8_t *base, const uint8_t *exponent, size_t bits,
                    unsigned window, uint8_t *out);
int edgeproof_powers(const edgeproof_modulus *m, const uint8_t *base, const uint8_t *const *exponents,
                     const size_t *bits, int count, unsigned window, uint8_t *out);
"""


def build(folder: Path | None = None) -> Path:
    """Compile the kernel; the module's file.

    Args:
        folder: where the module goes; this one when None, from which it is imported.

    Raises:
        cffi.VerificationError: there is no working C compiler.
    """
    source = Path(__file__).with_name("kernel.c").read_text()
    builder = FFI()
    builder.cdef(_DECLARATIONS)
    builder.set_source("_kernel", source, extra_compile_args=["-O3"])
    with tempfile.TemporaryDirectory(prefix="edgeproof-kernel-") as scratch:
        made = Path(builder.compile(tmpdir=scratch))
        target = (folder or Path(__file__).parent) / made.name
        # Written aside and moved: a process that has the old one loaded keeps it whole.
        aside = target.with_name(target.name + ".part")
        aside.write_bytes(made.read_bytes())
        aside.replace(target)
    return target


if __name__ == "__main__":
    print(build())
