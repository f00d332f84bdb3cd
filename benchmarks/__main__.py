"""``python -m benchmarks``: measure, write build/bench/*.json, render docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accumulator_cost import measure_accumulator_cost
from benchmarks.errors import MeasurementFailed
from benchmarks.machine import machine_facts
from benchmarks.proofs import measure_proofs
from benchmarks.render import render
from benchmarks.rest import measure_rest
from benchmarks.scale import FULL, QUICK, Say, Scale
from benchmarks.table1 import measure_table1

__all__ = ["MEASUREMENTS", "main"]

MEASUREMENTS: Mapping[str, Callable[[Scale, Say], dict[str, Any]]] = {
    "table1": measure_table1,
    "accumulator_cost": measure_accumulator_cost,
    "rest": measure_rest,
    "proofs": measure_proofs,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for.

    Returns:
        0; 1 when something that was to be measured failed.
    """
    asked = _parser().parse_args(arguments)
    scale = QUICK if asked.quick else FULL
    if asked.repeats is not None:
        scale = scale.repeated(asked.repeats)
    asked.out.mkdir(parents=True, exist_ok=True)
    failed = False
    for name in [] if asked.render else asked.only or list(MEASUREMENTS):
        try:
            _measure(name, scale, asked.out)
        except MeasurementFailed as error:
            print(f"{name}: failed: {error}", file=sys.stderr, flush=True)
            failed = True
    # Tiny sizes show that the measurements run; their figures are not for the page.
    if not asked.quick or asked.docs != _parser().get_default("docs"):
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--repeats", type=_positive, help=f"runs a figure (default {FULL.repeats})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), help="may be repeated")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the page again")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="folder of the JSON files")
    parser.add_argument("--docs", type=Path, default=Path("docs/benchmarks.md"), help="the page")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
