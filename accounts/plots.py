"""Plots in the admin: what Chart.js draws, and the same numbers as a table for everybody else."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

INK = "#7b8190"  # legible on light and on dark
# Unfold's names; one colour means one thing in every plot.
COLOURS = {
    "sent": "var(--color-base-400)",
    "delivered": "var(--color-primary-400)",
    "read": "var(--color-primary-700)",
    "good": "var(--color-primary-600)",
    "bad": "var(--color-red-600)",
}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot and the table that says the same. `summary` is its one sentence."""

    name: str
    title: str
    summary: str
    kind: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Any]]
    colours: Sequence[str]
    horizontal: bool = False
    most: int | None = None  # where the axis ends; None: by the numbers

    @property
    def empty(self) -> bool:
        return not any(any(row[1:]) for row in self.rows)

    @property
    def data(self) -> str:
        """For Unfold's Chart.js: a data set for each column after the first."""
        sets = [
            {
                "label": header,
                "data": [row[number] for row in self.rows],
                "backgroundColor": colour,
                "borderColor": colour,
                "displayYAxis": True,
                "maxTicksXLimit": 7,
            }
            for number, (header, colour) in enumerate(
                zip(self.headers[1:], self.colours, strict=True), start=1
            )
        ]
        # A label of several lines is a list: a long one would be cut off on a phone.
        labels = [textwrap.wrap(str(row[0]), 22) for row in self.rows]
        return json.dumps({"labels": labels, "datasets": sets})

    @property
    def options(self) -> str:
        whole = {"ticks": {"precision": 0, "color": INK}, "beginAtZero": True}
        if self.most is not None:
            whole["max"] = self.most
        names = {"ticks": {"color": INK, "autoSkip": not self.horizontal}}
        return json.dumps(
            {
                "animation": False,
                "responsive": True,
                "maintainAspectRatio": False,
                "indexAxis": "y" if self.horizontal else "x",
                "maxBarThickness": 24,
                "plugins": {"legend": {"display": len(self.colours) > 1, "position": "bottom"}},
                "scales": {"x": whole, "y": names} if self.horizontal else {"x": names, "y": whole},
            }
        )
