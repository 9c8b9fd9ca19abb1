"""The plots of a study, by the name of their file.

Drawn by matplotlib, which the extra ``study`` brings, without its global state: no window system
and no figure that must be closed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from agent.reports import tables
from agent.reports.tables import Survey, Table

FOR, AGAINST, NEUTRAL, INK = "#d55e00", "#0072b2", "#7a7a7a", "#222222"
REGIONS = (("foreground", FOR), ("background", AGAINST))
Values = NDArray[np.float64]


def study_plots(survey: Survey, score: str) -> dict[str, str]:
    """SVG text by name, such as ``suture-channels``."""
    with mpl.rc_context(
        {
            "svg.fonttype": "none",  # words stay words: sharp on paper, found by a search
            "text.parse_math": False,  # a class may have any name
            "svg.hashsalt": "pitwatch",  # the same plot is the same file
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": "#e3e3e3",
            "legend.frameon": False,
            "legend.fontsize": 8,
        }
    ):
        return {
            f"{name}-{what}": _svg(axes)
            for name in survey.observations
            for what, axes in axes_of(survey.of(name), name, score)
        }


def axes_of(own: Survey, name: str, score: str) -> Iterator[tuple[str, Axes]]:
    """The plots of one class, each in a figure of its own."""
    yield "channels", _channels(tables.channels(own), name, score)
    occlusion = tables.occlusions(own)
    start = tables.mean_sd([one.margin for one in own.observations[name]])
    yield "margin", _course(occlusion, f"{name}: margin inside, all maps", "margin_inside", start)
    yield "dice", _course(occlusion, f"{name}: Dice, all maps", "dice", (1.0, 0.0))
    single = tables.single_maps(own)
    if single:
        yield "each-map", _each_map(single, name, score)
        yield "each-map-fractions", _each_map_fractions(single, name)
        yield "map-sets", _map_sets(tables.map_sets(own), name)
    curves = tables.curves(own)
    for measure, what in (("insertion", "shown"), ("deletion", "hidden")):
        for fill in ("mean", "blur"):
            rows = _where(curves, measure=measure, fill=fill)
            if rows:
                yield f"{measure}-{fill}", _curve(rows, f"{name}: {measure}, {fill} fill", what)


def _channels(rows: Table, name: str, score: str) -> Axes:
    order = np.argsort(-_column(rows, "mean_delta"), kind="stable")
    values, sd = _column(rows, "mean_delta")[order], _column(rows, "sd")[order]
    axes = _axes(
        f"{name}: drop of the {score} by channel, mean and sd",
        f"{len(rows)} channels, from the most for to the most against",
        "delta",
    )
    colours = [FOR if value >= 0 else AGAINST for value in values]
    axes.bar(range(len(rows)), values, color=colours, yerr=sd, ecolor=INK, error_kw={"lw": 0.7})
    axes.set_xticks([])
    return axes


def _course(rows: Table, title: str, key: str, start: tuple[float, float]) -> Axes:
    what = key.split("_")[0].replace("dice", "Dice")
    axes = _axes(title, "share of the region's cells hidden", what, percent=True)
    for region, colour in REGIONS:
        mine = _where(rows, region=region)
        shares = np.append(0.0, _column(mine, "fraction"))
        values = np.append(start[0], _column(mine, key))
        sd = np.append(start[1], _column(mine, f"{key}_sd"))
        _line(axes, region, shares, values, colour, sd=sd)
    for value in _column(_where(rows, region="background_equal"), key):
        axes.axhline(value, color=AGAINST, ls="--", label="as few background cells")
    return axes


def _each_map(rows: Table, name: str, score: str) -> Axes:
    axes = _axes(
        f"{name}: one map alone, region at 100 %", "maps, sorted by drop", f"drop of the {score}"
    )
    for region, colour in REGIONS:
        drops = np.sort(_column(_where(rows, region=region, fraction=1.0), "mean_drop"))[::-1]
        _line(axes, region, np.arange(1.0, len(drops) + 1), drops, colour)
    return axes


def _each_map_fractions(rows: Table, name: str) -> Axes:
    title = f"{name}: one map alone, mean |drop| over maps"
    axes = _axes(title, "share of the region's cells hidden", "mean |drop|", percent=True)
    for region, colour in REGIONS:
        mine = _where(rows, region=region)
        shares = np.unique(_column(mine, "fraction"))
        drops = [_column(_where(mine, fraction=share), "mean_drop") for share in shares]
        sizes = [tables.mean_sd(abs(each))[0] for each in drops]
        _line(axes, region, np.append(0.0, shares), np.append(0.0, sizes), colour)
    return axes


def _map_sets(rows: Table, name: str) -> Axes:
    title = f"{name}: the strongest maps together"
    axes = _axes(title, "maps at once, region at 100 %", "drop")
    for region, colour in REGIONS:
        for chosen, label, style in (("strongest", region, "-"), ("random", "random", "--")):
            mine = _where(rows, region=region, chosen=chosen)
            _line(axes, label, _column(mine, "maps"), _column(mine, "mean_drop"), colour, style)
    axes.set_xscale("log", base=2)
    counts = np.unique(_column(rows, "maps"))
    axes.set_xticks(counts, [f"{count:g}" for count in counts])
    return axes


def _curve(rows: Table, title: str, what: str) -> Axes:
    axes = _axes(title, f"share of the cells {what}", "share of the margin", percent=True)
    for ranking, label, colour, style in (
        ("map", "map", FOR, "-"),
        ("mean_map", "mean map", INK, "-"),
        ("random", "random", NEUTRAL, "--"),
    ):
        mine = sorted(_where(rows, ranking=ranking), key=lambda row: _column([row], "fraction")[0])
        shares, values = _column(mine, "fraction"), _column(mine, "y_share")
        sd = _column(mine, "sd") if ranking == "map" else 0.0
        _line(axes, label, shares, values, colour, style, sd)
    return axes


def _axes(title: str, x_label: str, y_label: str, percent: bool = False) -> Axes:
    axes = Figure(figsize=(5.6, 3.6), layout="constrained").subplots()
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.axhline(0, color=INK, linewidth=0.9)
    if percent:
        axes.set_xticks((0.0, 0.25, 0.5, 0.75, 1.0), ("0 %", "25 %", "50 %", "75 %", "100 %"))
    return axes


def _line(
    axes: Axes,
    label: str,
    x: Values,
    y: Values,
    colour: str,
    style: str = "-",
    sd: Values | float = 0.0,
) -> None:
    """Points in their order; ``sd`` is drawn as a band around them."""
    axes.plot(x, y, linestyle=style, color=colour, label=label, marker="o", markersize=3)
    axes.fill_between(x, y - sd, y + sd, color=colour, alpha=0.13, linewidth=0)


def _svg(axes: Axes) -> str:
    """The axes' figure, with a legend of what has a name."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best")
    file = io.StringIO()
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _where(rows: Table, **wanted: object) -> Table:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _column(rows: Table, key: str) -> Values:
    return np.array([row[key] for row in rows], np.float64)
