"""Alternate two measurements and compare them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.postgres import Cluster


@dataclass(frozen=True, slots=True)
class Setting:
    """What a benchmark runs in.

    ``quick``: less of everything. ``peers``: those that are compared with; None for all.
    """

    cluster: Cluster
    folder: Path
    quick: bool = False
    peers: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was measured beside its reference, pair by pair.

    ``at_least`` and ``at_most`` are the bounds of the ratio measured / reference; neither: for information.
    """

    what: str
    unit: str
    measured: Sequence[float]
    reference: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios: load that comes and goes on the machine meets both of a pair."""
        return median(ours / theirs for ours, theirs in zip(self.measured, self.reference, strict=True))

    @property
    def is_ok(self) -> bool:
        """Whether the ratio keeps its bounds."""
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )

    def row(self) -> tuple[str, ...]:
        """The comparison as a line of the table."""
        required = f">= {self.at_least}" if self.at_least is not None else f"<= {self.at_most}"
        verdict = "ok" if self.is_ok else "LOW" if self.at_least is not None else "HIGH"
        bounded = self.at_least is not None or self.at_most is not None
        return (
            self.what,
            f"{median(self.measured):,.0f} {self.unit}",
            f"{median(self.reference):,.0f} {self.unit}",
            f"{self.ratio:.2f}",
            required if bounded else "-",
            verdict if bounded else "-",
        )


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons for people."""
    rows = [("what", "measured", "reference", "ratio", "required", ""), *(each.row() for each in comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in {0, 5} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def alternate(
    what: str, ours: Callable[[], float], theirs: Callable[[], float], *, pairs: int, silent: bool = False
) -> tuple[list[float], list[float]]:
    """Measure A B, B A, A B, …: each goes first as often as the other."""
    measured, reference = [], []
    for pair in range(pairs):
        if pair % 2:
            reference.append(theirs())
            measured.append(ours())
        else:
            measured.append(ours())
            reference.append(theirs())
        if not silent:
            say(f"{what} {pair + 1}/{pairs}: {measured[-1]:,.0f} against {reference[-1]:,.0f}")
    return measured, reference


def in_turn(works: Sequence[Callable[[], float]], *, rounds: int) -> list[list[float]]:
    """Measure A B C, B C A, C A B, …: what was measured of each, round by round."""
    found: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for place in range(len(works)):
            each = (number + place) % len(works)
            found[each].append(works[each]())
    return found


def say(text: str) -> None:
    """Tell how far a run has come."""
    print(text, file=sys.stderr, flush=True)


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(command: Sequence[str], *, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return its output; it must succeed."""
    done = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
