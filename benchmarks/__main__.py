"""``python -m benchmarks``: measure, write build/bench/*.json, render docs/benchmarks.md."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.accumulator_cost import measure_accumulator_cost
from benchmarks.errors import MeasurementFailed
from benchmarks.machine import machine_facts
from benchmarks.options import options, scale_of, writes_page
from benchmarks.proofs import measure_proofs
from benchmarks.render import render
from benchmarks.rest import measure_rest
from benchmarks.scale import Say, Scale
from benchmarks.table1 import measure_table1

__all__ = ["MEASUREMENTS", "main"]

MEASUREMENTS: Mapping[str, Callable[[Scale, Say], dict[str, Any]]] = {
    "table1": measure_table1,
    "accumulator_cost": measure_accumulator_cost,
    "rest": measure_rest,
    "proofs": measure_proofs,
}
_PAGE: Final = Path("docs/benchmarks.md")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for.

    Returns:
        0; 1 when something that was to be measured failed.
    """
    asked = options("python -m benchmarks", __doc__, MEASUREMENTS, _PAGE).parse_args(arguments)
    scale = scale_of(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in [] if asked.render else asked.only or list(MEASUREMENTS):
        try:
            _measure(name, scale, asked.out)
        except MeasurementFailed as error:
            print(f"{name}: failed: {error}", file=sys.stderr, flush=True)
            failed = True
    if writes_page(asked, _PAGE):
        asked.docs.write_text(render(_results(asked.out)))
        print(f"{asked.docs} is written")
    return int(failed)


def _measure(name: str, scale: Scale, out: Path) -> None:
    started = time.perf_counter()

    def say(line: str) -> None:
        print(f"[{time.perf_counter() - started:6.1f} s] {name}: {line}", flush=True)

    machine = machine_facts()
    say(f"load average {machine['load_average']} on {machine['cores']} cores")
    result = MEASUREMENTS[name](scale, say)
    whole = {"name": name, "machine": machine, "scale": asdict(scale), **result}
    (out / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    say(f"{out / f'{name}.json'} is written")


def _results(out: Path) -> dict[str, Any]:
    return {
        name: json.loads((out / f"{name}.json").read_text())
        for name in MEASUREMENTS
        if (out / f"{name}.json").exists()
    }


if __name__ == "__main__":
    sys.exit(main())
