"""Figures as values, and how they are printed: text, Markdown or JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured thing; `ratio` is against the baseline of the same run."""

    name: str
    value: str
    baseline: str | None = None
    ratio: float | None = None
    aim: str | None = None
    met: bool | None = None


def machine(postgres: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Where it was measured."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.processor() or "unknown",
    )
    return {
        "CPU": f"{model}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "load before": " ".join(_read("/proc/loadavg").split()[:3]) or "unknown",
        **{f"Postgres {name}": value for name, value in postgres},
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def as_markdown(about: dict[str, str], figures: Sequence[Figure]) -> str:
    lines = [
        "| what | measured | baseline of the same run | ratio | aim |",
        "|---|---|---|---|---|",
    ]
    for f in figures:
        verdict = "" if f.met is None else (" — met" if f.met else " — MISSED")
        ratio = "" if f.ratio is None else f"{f.ratio:.2f}"
        lines.append(
            f"| {f.name} | {f.value} | {f.baseline or ''} | {ratio} | {f.aim or ''}{verdict} |"
        )
    lines += ["", *(f"- {name}: {value}" for name, value in about.items())]
    return "\n".join(lines)


def as_text(about: dict[str, str], figures: Sequence[Figure]) -> str:
    lines = [f"{name}: {value}" for name, value in about.items()] + [""]
    for f in figures:
        lines.append(f.name)
        lines.append(f"    {f.value}")
        if f.baseline:
            ratio = "" if f.ratio is None else f"  ratio {f.ratio:.2f}"
            lines.append(f"    {f.baseline}{ratio}")
        if f.aim:
            lines.append(f"    aim {f.aim}: {'met' if f.met else 'MISSED'}")
    return "\n".join(lines)


def as_json(about: dict[str, str], figures: Sequence[Figure]) -> str:
    return json.dumps({"machine": about, "figures": [asdict(f) for f in figures]}, indent=1)
