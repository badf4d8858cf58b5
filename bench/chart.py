"""A PNG of latency against load, both axes logarithmic. The only room that knows matplotlib.

Without it (`pip install 'tickgate[bench]'`) there is no chart, and one line that says so.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.fanout.figures import Spread


class Line:
    """One curve: its name, and the spread of a latency in milliseconds at each load."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.points: list[tuple[float, Spread]] = []


def draw(
    path: Path, lines: Sequence[Line], *, title: str, load: str, setting: Sequence[str]
) -> bool:
    """Whether it could be drawn."""
    try:
        # Optional, and slow to import: only here.
        from matplotlib import ticker  # noqa: PLC0415 - see above
        from matplotlib.figure import Figure  # noqa: PLC0415 - see above
    except ImportError:
        print("no chart: matplotlib is not installed", file=sys.stderr)
        return False
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        points = sorted(line.points, key=lambda point: point[0])
        at = [offered for offered, _ in points]
        axes.plot(at, [spread.median for _, spread in points], marker="o", label=line.name)
        least = [spread.least for _, spread in points]
        axes.fill_between(at, least, [spread.greatest for _, spread in points], alpha=0.15)
    axes.set(xscale="log", yscale="log", title=title, xlabel=load, ylabel="latency, ms")
    # One label a load: a logarithmic axis' own run into each other.
    axes.set_xticks(sorted({offered for line in lines for offered, _ in line.points}))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.grid(visible=True, alpha=0.25)
    axes.legend(title="median; shaded: all repeats")
    figure.supxlabel("\n".join(setting), fontsize=6, color="gray")
    figure.savefig(path, dpi=130)
    return True
