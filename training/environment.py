"""Fingerprints of where a result was computed.

Equal fingerprints promise bit-equal results of ``edgeproof/sgd/v1``: the same torch on the same family of
processors, with the same vector instructions, chooses the same kernels, which with one thread and
deterministic algorithms add in the same order.
"""

from __future__ import annotations

import platform
from pathlib import Path

from chaincode.api import Environment

__all__ = ["exact_fingerprint", "torch_fingerprint"]

_CPU_FIELDS = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU part")


def torch_fingerprint() -> Environment:
    """Of a computation with torch in this process. Imports torch: for workers."""
    import torch

    return Environment(
        python=platform.python_version(),
        torch=str(torch.__version__),  # a subclass of str that would drag torch along when pickled
        machine=_machine(),
        capability=torch.backends.cpu.get_cpu_capability(),
    )


def exact_fingerprint() -> Environment:
    """Of a computation in integers, the same everywhere; python and machine are told for completeness."""
    return Environment(
        python=platform.python_version(), torch="none", machine=_machine(), capability="exact-integer"
    )


def _machine() -> str:
    """Architecture, then vendor, family and model of the processor where the system tells (Linux)."""
    parts = [platform.machine()]
    try:
        lines = (
            Path("/proc/cpuinfo")
            .read_text(encoding="utf-8", errors="replace")
            .split("\n\n", 1)[0]
            .splitlines()
        )
    except OSError:
        lines = []
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts += [found[name] for name in _CPU_FIELDS if name in found]
    return "/".join(parts)
