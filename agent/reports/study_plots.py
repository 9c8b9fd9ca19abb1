"""The plots of a study, by the name of their file."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.reports import tables
from agent.reports.svg import AGAINST, FOR, INK, NEUTRAL, Axes, Line, bar_plot, line_plot
from agent.reports.tables import Row, Survey, Table

PERCENT = tuple((v / 100, f"{v} %") for v in (0, 25, 50, 75, 100))


def study_plots(survey: Survey, score: str) -> dict[str, str]:
    """SVG text by name, such as ``suture-channels``."""
    out = {}
    for name in survey.observations:
        for what, plot in _of_class(survey, name, score):
            out[f"{name}-{what}"] = plot
    return out


def _of_class(survey: Survey, name: str, score: str) -> Iterator[tuple[str, str]]:
    yield "channels", _channels(_mine(tables.channels(survey), name), name, score)
    occlusion = _mine(tables.occlusions(survey), name)
    found = survey.observations[name]
    start = tables.mean_sd([one.margin for one in found])
    yield "margin", _course(occlusion, f"{name}: margin inside, all maps", "margin_inside", start)
    yield "dice", _course(occlusion, f"{name}: Dice, all maps", "dice", (1.0, 0.0))
    single = _mine(tables.single_maps(survey), name)
    if single:
        yield "each-map", _each_map(single, name, score)
        yield "each-map-fractions", _each_map_fractions(single, name)
        yield "map-sets", _map_sets(_mine(tables.map_sets(survey), name), name)
    curves = _mine(tables.curves(survey), name)
    for measure in ("insertion", "deletion"):
        for fill in ("mean", "blur"):
            rows = [r for r in curves if (r["measure"], r["fill"]) == (measure, fill)]
            if rows:
                yield f"{measure}-{fill}", _curve(rows, f"{name}: {measure}, {fill} fill")


def _mine(table: Table, name: str) -> Table:
    return [row for row in table if row["class"] == name]


def _channels(rows: Table, name: str, score: str) -> str:
    rows = sorted(rows, key=lambda row: -_number(row, "mean_delta"))
    axes = Axes(
        f"{name}: drop of the {score} by channel, mean and sd",
        f"{len(rows)} channels, from the most for to the most against",
        "delta",
    )
    values = [_number(row, "mean_delta") for row in rows]
    return bar_plot(axes, values, [_number(row, "sd") for row in rows])


def _course(rows: Table, title: str, key: str, start: tuple[float, float]) -> str:
    lines = []
    for region, colour in (("foreground", FOR), ("background", AGAINST)):
        mine = [row for row in rows if row["region"] == region]
        lines.append(
            Line(
                region,
                [0.0, *(_number(row, "fraction") for row in mine)],
                [start[0], *(_number(row, key) for row in mine)],
                colour,
                [start[1], *(_number(row, f"{key}_sd") for row in mine)],
            )
        )
    for row in rows:
        if row["region"] == "background_equal":
            value = _number(row, key)
            lines.append(Line("as few background cells", [0, 1], [value] * 2, AGAINST, (), True))
    return line_plot(
        Axes(
            title,
            "share of the region's cells hidden",
            key.split("_")[0].replace("dice", "Dice"),
            PERCENT,
        ),
        lines,
    )


def _each_map(rows: Table, name: str, score: str) -> str:
    whole = [row for row in rows if row["fraction"] == 1.0]
    lines = []
    for region, colour in (("foreground", FOR), ("background", AGAINST)):
        drops = sorted(_number(r, "mean_drop") for r in whole if r["region"] == region)[::-1]
        lines.append(Line(region, list(range(1, len(drops) + 1)), drops, colour))
    return line_plot(
        Axes(
            f"{name}: one map alone, region at 100 %",
            "maps, sorted by drop",
            f"drop of the {score}",
        ),
        lines,
    )


def _each_map_fractions(rows: Table, name: str) -> str:
    lines = []
    for region, colour in (("foreground", FOR), ("background", AGAINST)):
        mine = [row for row in rows if row["region"] == region]
        fractions = sorted({_number(row, "fraction") for row in mine})
        sizes = [
            tables.mean_sd([abs(_number(r, "mean_drop")) for r in mine if r["fraction"] == f])[0]
            for f in fractions
        ]
        lines.append(Line(region, [0.0, *fractions], [0.0, *sizes], colour))
    return line_plot(
        Axes(
            f"{name}: one map alone, mean |drop| over maps",
            "share of the region's cells hidden",
            "mean |drop|",
            PERCENT,
        ),
        lines,
    )


def _map_sets(rows: Table, name: str) -> str:
    lines, counts = [], sorted({int(_number(row, "maps")) for row in rows})
    for region, colour in (("foreground", FOR), ("background", AGAINST)):
        for chosen, dashed in (("strongest", False), ("random", True)):
            mine = [r for r in rows if (r["region"], r["chosen"]) == (region, chosen)]
            lines.append(
                Line(
                    "random" if dashed else region,
                    [math.log2(_number(row, "maps")) for row in mine],
                    [_number(row, "mean_drop") for row in mine],
                    colour,
                    (),
                    dashed,
                )
            )
    ticks = tuple((math.log2(count), str(count)) for count in counts)
    return line_plot(
        Axes(
            f"{name}: the strongest maps together", "maps at once, region at 100 %", "drop", ticks
        ),
        lines,
    )


def _curve(rows: Table, title: str) -> str:
    lines = []
    for ranking, label, colour in (
        ("map", "map", FOR),
        ("mean_map", "mean map", INK),
        ("random", "random", NEUTRAL),
    ):
        mine = sorted(
            (r for r in rows if r["ranking"] == ranking), key=lambda r: _number(r, "fraction")
        )
        lines.append(
            Line(
                label,
                [_number(row, "fraction") for row in mine],
                [_number(row, "y_share") for row in mine],
                colour,
                [_number(row, "sd") for row in mine] if ranking == "map" else (),
                ranking == "random",
            )
        )
    what = "shown" if "insertion" in title else "hidden"
    return line_plot(
        Axes(title, f"share of the cells {what}", "share of the margin", PERCENT), lines
    )


def _number(row: Row, key: str) -> float:
    value = row[key]
    assert isinstance(value, int | float)
    return float(value)
