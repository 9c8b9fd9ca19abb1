"""A study as files: one HTML page that needs nothing else, tables as CSV and JSON, plots as SVG."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic_core import to_jsonable_python

from agent.reports import tables
from agent.reports.study_plots import study_plots
from agent.reports.tables import NUMBERS, Observation, Survey, Table, mean_sd

SUMMARY: tuple[tuple[str, str], ...] = (
    ("y", "score y"),
    ("y_whole_layer_off", "y with the whole layer off"),
    ("sum_of_deltas", "sum of the single deltas"),
    ("input_foreground", "sensitivity to the foreground, hidden in the input"),
    ("input_background_equal", "to as much background, hidden in the input"),
    ("input_context_reliance", "context reliance in the input"),
    ("layer_foreground", "sensitivity to the foreground, hidden at the layer"),
    ("layer_background_equal", "to as much background, hidden at the layer"),
    ("all_ones_share", "all-ones share"),
    ("sign_balance", "sign balance"),
    ("agreement", "agreement of the map with blocks hidden at the layer"),
    ("hires_correlation", "rank correlation with the HiRes map"),
    ("baseline_correlation", "rank correlation of zero and mean baseline"),
    ("dice_to_mask", "Dice of the prediction to the drawn mask"),
)


def write(
    folder: Path,
    found: Survey,
    figures: Sequence[tuple[str, bytes]],
    side_by_side: Sequence[tuple[str, bytes]] = (),
) -> Path:
    """Everything into ``folder``; the path of the page. ``figures`` and ``side_by_side`` (the maps
    of all methods) are captions and JPEG data."""
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    content = {name: make(found) for name, make in tables.TABLES.items()}
    for name, rows in content.items():
        if rows:
            write_csv(folder / "tables" / f"{name}.csv", rows)
    whole = {"facts": found.facts, "problems": found.problems, "tables": content}
    text = json.dumps(to_jsonable_python(whole, inf_nan_mode="null"), indent=1)
    (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    plots = study_plots(found, found.facts["score"])
    for name, plot in plots.items():
        (folder / "plots" / f"{name}.svg").write_text(plot + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html(found, plots, figures, side_by_side), encoding="utf-8")
    return page


def write_csv(path: Path, rows: Table) -> None:
    """Numbers as short as they can be said exactly; what is undefined is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(to_jsonable_python(rows, inf_nan_mode="null"))


def html(
    found: Survey,
    plots: dict[str, str],
    figures: Sequence[tuple[str, bytes]],
    side_by_side: Sequence[tuple[str, bytes]] = (),
) -> str:
    """The whole page; nothing in it is loaded from anywhere."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    everyone = [one for rows in found.observations.values() for one in rows]
    nulls = (NUMBERS["null_control"](o) / max(o.record.null_tolerance, 1e-300) for o in everyone)
    return templates.get_template("report.html.jinja").render(
        found=found,
        plots=plots,
        figures=figures,
        side_by_side=side_by_side,
        summary=_summary(found),
        worst_null=max(nulls),
        worst_spot=max(o.record.spot_error for o in everyone),
        classes={
            name: {
                "strongest": _strongest(own),
                "groups": _groups(own),
                "gains": _gains(own, name),
                "methods": _methods(own),
            }
            for name, own in ((name, found.of(name)) for name in found.observations)
        },
    )


def _summary(found: Survey) -> list[list[str]]:
    seen = found.observations.values()
    rows = [["pictures explained", *(str(len(each)) for each in seen)]]
    for key, words in SUMMARY:
        cells = [_spread(each, key) for each in seen]
        if any(cell != "-" for cell in cells):
            rows.append([words, *cells])
    same = [_short(tables.consistency(each)) for each in seen]
    return [*rows, ["rank correlation of the deltas from picture to picture", *same]]


def _strongest(own: Survey, count: int = 8) -> list[list[str]]:
    return [
        [
            f"channel {row['channel']}",
            f"{row['mean_delta']:+.4g}",
            f"{row['sd']:.2g}",
            f"{row['positive_share']:.0%}",
            f"{row['top10_share']:.0%}",
        ]
        for row in sorted(tables.channels(own), key=lambda row: -abs(row["mean_delta"]))[:count]
    ]


def _groups(own: Survey) -> list[list[str]]:
    return [
        [
            row["channels"],
            f"{row['mean_delta']:+.4g}",
            f"{row['sd']:.2g}",
            f"{row['sum_of_single']:+.4g}",
        ]
        for row in tables.groups(own)
    ]


def _gains(own: Survey, name: str) -> list[list[str]]:
    found = own.observations[name]
    overs = ("auc", "over_random", "over_mean_map")
    return [
        [
            f"{measure}, {fill} fill",
            *(_spread(found, f"{measure}_{fill}_{over}") for over in overs),
        ]
        for measure in ("insertion", "deletion")
        for fill in ("blur", "mean")
    ]


def _methods(own: Survey) -> list[list[str]]:
    rows = []
    for row in tables.methods(own):
        times = ["-", "-"] if row["n"] == 0 else [f"{row['seconds']:.3f}", f"{row['passes']:.0f}"]
        numbers = [(row["rank_correlation"], row["sd"]), (row["mass_on_class"], row["mass_sd"])]
        rows.append([row["method"], str(row["n"]), *(_pair(*one) for one in numbers), *times])
    return rows


def _spread(found: Sequence[Observation], key: str) -> str:
    return _pair(*mean_sd([NUMBERS[key](one) for one in found]))


def _pair(mean: float, sd: float) -> str:
    return "-" if math.isnan(mean) else f"{_short(mean)} ± {_short(sd)}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
