"""The demo's HTML report: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

__all__ = ["ProofSample", "ReportData", "write_report"]

_INK = "#1f2933"
_SERIES = ("#0b6e99", "#c2571a", "#4f7f3a", "#7b4b94")
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class ProofSample:
    """One record's proof, as made and verified in this run."""

    chain: str
    element: int
    """Number of the element that carries the record's batch."""
    size: int
    """Bytes of the bundle."""
    prove_ms: float
    verify_ms: float


@dataclass(frozen=True)
class ReportData:
    """Everything that the report shows; plain values, no opinions."""

    summary: Mapping[str, Any]
    rounds: Sequence[tuple[int, float]]
    """(round, accuracy of the aggregate on the held-out split)."""
    central: float
    anchors: Mapping[str, Sequence[float]]
    """Chain to the times of its cuts, seconds after the first block."""
    proofs: Sequence[ProofSample]
    audits: Sequence[tuple[str, str, int, str]]
    """(name, command, exit code, the line it said)."""
    attacks: Sequence[tuple[str, str, str, int, str]]
    """(name, what was done, command, exit code, the line it said)."""
    chains: Sequence[tuple[str, int, int, int]]
    """(chain, blocks, elements, anchors)."""


def write_report(path: Path, data: ReportData) -> None:
    """Render ``data`` to ``path`` (written whole or not at all)."""
    from jinja2 import Environment, select_autoescape

    template = files("edgeproof.demo").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=select_autoescape(default=True, default_for_string=True))
    text = environment.from_string(template).render(
        data=data,
        accuracy_plot=_accuracy_plot(data),
        anchors_plot=_anchors_plot(data),
        proofs_plot=_proofs_plot(data),
    )
    temporary = path.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _accuracy_plot(data: ReportData) -> str:
    figure, axes = _figure()
    axes.plot(
        [number for number, _ in data.rounds],
        [value for _, value in data.rounds],
        color=_SERIES[0],
        marker="o",
        markersize=4,
        label="federated aggregate",
    )
    axes.axhline(data.central, color=_SERIES[1], linestyle="--", label="central training, same epochs")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("round")
    axes.set_ylabel("accuracy on the held-out split")
    axes.set_ylim(min([data.central, *(value for _, value in data.rounds)]) - 0.05, 1.0)
    axes.legend(frameon=False, loc="lower right")
    return _svg(figure)


def _anchors_plot(data: ReportData) -> str:
    figure, axes = _figure()
    for position, (chain, times) in enumerate(sorted(data.anchors.items())):
        axes.step(
            [0.0, *times],
            range(len(times) + 1),
            where="post",
            label=chain,
            color=_SERIES[position % len(_SERIES)],
            linestyle=_DASHES[position // len(_SERIES) % len(_DASHES)],
        )
    axes.set_xlabel("seconds after the first block")
    axes.set_ylabel("anchors")
    axes.legend(frameon=False, loc="upper left")
    return _svg(figure)


def _proofs_plot(data: ReportData) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    chains = sorted({sample.chain for sample in data.proofs})
    for position, chain in enumerate(chains):
        samples = sorted((s for s in data.proofs if s.chain == chain), key=lambda s: s.element)
        colour = _SERIES[position % len(_SERIES)]
        elements = [sample.element for sample in samples]
        left.plot(elements, [s.size / 1024 for s in samples], "o", markersize=4, color=colour, label=chain)
        right.plot(elements, [s.prove_ms for s in samples], "o", markersize=4, color=colour)
        right.plot(elements, [s.verify_ms for s in samples], "x", markersize=5, color=colour)
    left.set_ylim(0, max((sample.size / 1024 for sample in data.proofs), default=1) * 1.25)
    left.set_ylabel("proof bundle, KiB")
    right.set_ylim(bottom=0)
    right.set_ylabel("milliseconds: o prove, x verify")
    for axes in (left, right):
        _dress(axes)
        axes.set_xlabel("number of the element on its chain")
    left.legend(frameon=False, loc="lower left", fontsize=8)
    return _svg(figure)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    _dress(axes)
    return figure, axes


def _dress(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.grid(axis="y", color="#d9e2ec", linewidth=0.8)


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    # A fixed salt keeps the identifiers, and so the file, the same for the same data.
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "edgeproof", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
