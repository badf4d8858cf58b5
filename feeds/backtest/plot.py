"""A PNG of a backtest: price and signals, equity beside holding, drawdown. The only room here that
knows matplotlib, which is optional (`pip install 'tickgate[backtest]'`) and imported when needed.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from feeds.backtest.drive import Mark
from feeds.backtest.equity import Equity
from feeds.market import Direction, Signal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DAY_US: Final = 86_400_000_000
_INK: Final = "#1f2933"
_PALE: Final = "#7b8794"
_GRID: Final = "#e4e7eb"
_PRICE: Final = "#3e4c59"
_MODELS: Final = ("#2f5fd0", "#d9820b", "#7b4fc9", "#0f8b8d", "#c2417c", "#6b7a0f")
_DIRECTIONS: Final[dict[Direction, tuple[str, str]]] = {
    "bull": ("^", "#0e9f6e"),
    "bear": ("v", "#d64545"),
    "neutral": ("o", "#b8c1cc"),
}
_MARKER_AREA_MAX: Final = 70.0
_MARKER_AREA_MIN: Final = 7.0
_DOTS: Final = 130


class Picture(NamedTuple):
    """What is drawn: one pair, one equity for each model."""

    title: str
    setting: str
    """What a reader must know beside it."""
    verdicts: Sequence[str]
    """What came of it, a line each."""
    marks: Sequence[Mark]
    signals: Sequence[Signal]
    equities: Sequence[Equity]


def draw(picture: Picture, path: Path) -> bool:
    """Whether it could be drawn. Raises OSError. A picture that was there is replaced at once."""
    try:
        # Optional, and slow to import: only here.
        from matplotlib import rc_context  # noqa: PLC0415 - see above
        from matplotlib.figure import Figure  # noqa: PLC0415 - see above
    except ImportError:
        return False
    with rc_context(
        {
            "axes.edgecolor": _GRID,
            "axes.labelcolor": _PALE,
            "axes.xmargin": 0.005,
            "date.converter": "concise",
            "figure.constrained_layout.h_pad": 0.06,
            "font.size": 9,
            "text.color": _INK,
            "timezone": "UTC",
            "xtick.color": _PALE,
            "ytick.color": _PALE,
        }
    ):
        figure = Figure(figsize=(12, 8), layout="constrained", facecolor="white")
        _compose(figure, picture)
        unfinished = path.with_name(f".{path.name}.part")
        try:
            figure.savefig(unfinished, format="png", dpi=_DOTS)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return True


def _compose(figure: "Figure", picture: Picture) -> None:
    models = [each.model for each in picture.equities]
    heights = [5.0, 0.28 * max(1, len(models)), 3.0, 1.2]
    price, lanes, equity, drawdown = figure.subplots(
        4, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    for axes in (price, equity, drawdown):
        axes.grid(visible=True, color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
    for axes in (price, lanes, equity, drawdown):
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
    _draw_price(price, picture, is_marked=len(models) == 1)
    _draw_lanes(lanes, picture, models)
    _draw_equity(equity, picture.equities)
    _draw_drawdown(drawdown, picture.equities)
    drawdown.xaxis_date()
    figure.align_ylabels((price, equity, drawdown))
    figure.suptitle(picture.title, x=0.008, ha="left", fontsize=13, fontweight="bold")
    price.set_title(picture.setting, loc="left", fontsize=8.5, color=_PALE, pad=8)
    figure.supxlabel("\n".join(picture.verdicts), x=0.008, ha="left", fontsize=8.5)


def _draw_price(axes: "Axes", picture: Picture, *, is_marked: bool) -> None:
    axes.plot(
        _days([mark.at_us for mark in picture.marks]),
        [mark.price for mark in picture.marks],
        color=_PRICE,
        linewidth=0.9,
    )
    axes.yaxis.set_major_formatter("{x:,.6g}")
    axes.set_ylabel("price")
    if not is_marked:
        # Several models' would hide each other: the lanes below show them.
        for direction in ("bull", "bear"):
            _, colour = _DIRECTIONS[direction]
            axes.scatter([], [], s=60, marker="s", color=colour, label=direction)
        _legend(axes, "lower right", 2)
        return
    area = _MARKER_AREA_MAX * min(1.0, 60 / max(1, len(picture.signals)))
    area = max(_MARKER_AREA_MIN, area)
    for direction, (shape, colour) in _DIRECTIONS.items():
        its = [each for each in picture.signals if each.direction == direction]
        axes.scatter(
            _days([each.computed_us for each in its]),
            [float(each.reference.price) for each in its],
            s=area * (0.4 if direction == "neutral" else 1.0),
            marker=shape,
            color=colour,
            edgecolors="white",
            linewidths=0.3 if area > 2 * _MARKER_AREA_MIN else 0.0,
            zorder=2 if direction == "neutral" else 3,
            label=f"{direction} {len(its):,}",
        )
    _legend(axes, "lower right", 3)


def _draw_lanes(axes: "Axes", picture: Picture, models: Sequence[str]) -> None:
    """When each model spoke, and for which direction."""
    until_us = picture.marks[-1].at_us
    for row, model in enumerate(models):
        its = [each for each in picture.signals if each.model == model]
        for direction in ("bull", "bear"):
            axes.broken_barh(
                _spans(its, direction, until_us),
                (row - 0.38, 0.76),
                color=_DIRECTIONS[direction][1],
                lw=0,
            )
    axes.set_yticks(range(len(models)), models)
    axes.set_ylim(max(1, len(models)) - 0.5, -0.5)
    axes.set_facecolor("#f5f7fa")


def _draw_equity(axes: "Axes", equities: Sequence[Equity]) -> None:
    if equities:
        held = equities[0]
        axes.plot(
            _days(held.at_us),
            _percents(held.held),
            color=_PALE,
            linewidth=1.0,
            linestyle=(0, (4, 2)),
            label=f"holding {held.held[-1] - 1:+.1%}",
        )
    for each, colour in zip(equities, _colours(equities), strict=True):
        label = f"{each.model} {each.followed[-1] - 1:+.1%}"
        axes.plot(_days(each.at_us), _percents(each.followed), color=colour, lw=1.4, label=label)
    axes.axhline(0, color=_PALE, linewidth=0.6)
    axes.yaxis.set_major_formatter("{x:,.3g} %")
    axes.set_ylabel("equity, after costs")
    _legend(axes, "lower left", 1 + len(equities))


def _legend(axes: "Axes", place: Literal["lower left", "lower right"], columns: int) -> None:
    """Above the axes: within, it would hide what is drawn. None where nothing has a name."""
    if not axes.get_legend_handles_labels()[0]:
        return
    across = 0.0 if place == "lower left" else 1.0
    axes.legend(
        loc=place,
        bbox_to_anchor=(across, 0.99),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.2,
        handlelength=1.6,
        handletextpad=0.4,
    )


def _draw_drawdown(axes: "Axes", equities: Sequence[Equity]) -> None:
    for each, colour in zip(equities, _colours(equities), strict=True):
        percents = [100 * value for value in each.drawdowns]
        if len(equities) == 1:
            axes.fill_between(_days(each.at_us), percents, 0, color=colour, alpha=0.18, lw=0)
        axes.plot(_days(each.at_us), percents, color=colour, linewidth=0.7)
    axes.yaxis.set_major_formatter("{x:,.3g} %")
    axes.set_ylabel("drawdown")


def _spans(
    signals: Sequence[Signal], direction: Direction, until_us: int
) -> list[tuple[float, float]]:
    """Where one direction stood: a start and a length each, in days."""
    ends = [later.computed_us for _, later in pairwise(signals)]
    if signals:
        ends.append(until_us)
    return [
        (one.computed_us / _DAY_US, (min(end_us, one.expires_us) - one.computed_us) / _DAY_US)
        for one, end_us in zip(signals, ends, strict=True)
        if one.direction == direction
    ]


def _days(times_us: Sequence[int]) -> list[float]:
    return [at_us / _DAY_US for at_us in times_us]


def _percents(values: Sequence[float]) -> list[float]:
    return [100 * (value - 1) for value in values]


def _colours(equities: Sequence[Equity]) -> list[str]:
    return [_MODELS[number % len(_MODELS)] for number in range(len(equities))]
