"""A study as files: one HTML page that needs nothing else, tables as CSV and JSON, plots as SVG."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from agent.reports import tables
from agent.reports.study_plots import study_plots
from agent.reports.tables import NUMBERS, Observation, Row, Survey, Table, mean_sd

STYLE = """
body{font:15px/1.5 Helvetica,Arial,sans-serif;color:#222;max-width:1000px;margin:2em auto;
padding:0 1em}
h1{font-size:1.7em;margin-bottom:.2em}h2{margin-top:1.8em;border-bottom:2px solid #222}
h3{margin-bottom:.3em}p.note{color:#555;max-width:46em}
table{border-collapse:collapse;margin:.8em 0;font-size:.88em;font-variant-numeric:tabular-nums}
th,td{padding:.22em .7em;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #222}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1em}dt{font-weight:600}dd{margin:0}
.plots{display:grid;grid-template-columns:1fr 1fr;gap:10px}.plots svg{width:100%;height:auto;
border:1px solid #ddd}
img{width:100%;border:1px solid #ddd}figure{margin:1em 0}figcaption{font-size:.85em;color:#555}
.problems{background:#fff4e5;border-left:4px solid #d55e00;padding:.5em 1em}
@media print{body{margin:0;max-width:none;font-size:11px}.plots,figure,table,h2,h3{
break-inside:avoid}h2,h3{break-after:avoid}section{break-before:page}}
@page{size:A4;margin:14mm}
"""

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


def write(folder: Path, found: Survey, figures: Sequence[tuple[str, bytes]]) -> Path:
    """Everything into ``folder``; the path of the page. ``figures`` are captions and JPEG data."""
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "plots").mkdir(exist_ok=True)
    content = {name: make(found) for name, make in tables.TABLES.items()}
    for name, rows in content.items():
        if rows:
            write_csv(folder / "tables" / f"{name}.csv", rows)
    whole = {"facts": found.facts, "problems": found.problems, "tables": content}
    text = json.dumps(_plain(whole), indent=1, allow_nan=False)
    (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    plots = study_plots(found, found.facts["score"])
    for name, plot in plots.items():
        (folder / "plots" / f"{name}.svg").write_text(plot + "\n", encoding="utf-8")
    page = folder / "report.html"
    page.write_text(html(found, plots, figures), encoding="utf-8")
    return page


def write_csv(path: Path, rows: Table) -> None:
    """Numbers as short as they can be said exactly; what is undefined is empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: "" if _undefined(v) else v for k, v in row.items()} for row in rows)


def html(found: Survey, plots: dict[str, str], figures: Sequence[tuple[str, bytes]]) -> str:
    """The whole page; nothing in it is loaded from anywhere."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<title>What the model uses: a study by ablation</title>"
        f"<style>{STYLE}</style></head><body>",
        "<h1>What the model uses: a study by ablation and occlusion</h1>",
        "<dl>",
        *(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in found.facts.items()),
        "</dl>",
        _problems(found.problems),
        "<h2>In numbers</h2>",
        _summary(found),
        "<p class=note>Mean and standard deviation over pictures. A sensitivity is the share of "
        "the margin that hiding a region costs, of what hiding everything costs. Skips of earlier "
        "levels bypass an occlusion at one layer; nothing bypasses the input.</p>",
        _guards(found),
    ]
    parts += [_section(found, name, plots) for name in found.observations]
    if figures:
        parts.append("<section><h2>Examples</h2>")
        parts += [_figure(caption, data) for caption, data in figures]
        parts.append("</section>")
    parts.append(METHOD)
    parts.append("</body></html>\n")
    return "\n".join(parts)


METHOD = """<section><h2>How to read this</h2>
<p class=note><b>Channels.</b> A delta is what the score loses when one map of the layer is set to
the baseline. A delta near zero does not say that a map is useless: another may stand in for it.
That is why the sum of the single deltas is set beside the ablation of the whole layer.</p>
<p class=note><b>Regions.</b> Foreground are the cells of the class's own prediction, background
their complement inside the field of view. There is far more background, so hiding all of it
measures area; the fair comparison is with as few background cells as the foreground has, drawn at
random.</p>
<p class=note><b>Insertion and deletion.</b> Cells of the picture are shown or hidden in the order
of the map. A curve by itself proves little: what counts is the gain over a random order and over
the plain mean of the maps. Two fills, because the border of a flat patch is itself an edge.</p>
<p class=note><b>What it does not prove.</b> An explanation can look right for the wrong reason and
can be forged; it overrides no safety stop.</p></section>"""


MAPS_NOTE = """<p class=note>A region is hidden in one map alone, in the strongest maps together
(by the size of their delta; dashed: as many random maps), or in all of them. Where a single map
hardly counts but a few together do, they stand in for each other.</p>"""


def _problems(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in problems)
    return f'<div class="problems"><b>Not explained:</b><ul>{lines}</ul></div>'


def _summary(found: Survey) -> str:
    names = list(found.observations)
    rows = [["pictures explained", *(str(len(found.observations[n])) for n in names)]]
    for key, words in SUMMARY:
        cells = [_spread([NUMBERS[key](o) for o in found.observations[n]]) for n in names]
        if any(cell != "-" for cell in cells):
            rows.append([words, *cells])
    same = [_short(tables.consistency(found.observations[n])) for n in names]
    rows.append(["rank correlation of the deltas from picture to picture", *same])
    return _table(["", *names], rows)


def _guards(found: Survey) -> str:
    everyone = [one for rows in found.observations.values() for one in rows]
    worst = max(NUMBERS["null_control"](o) / max(o.record.null_tolerance, 1e-300) for o in everyone)
    spot = max(o.record.spot_error for o in everyone)
    return (
        f"<p class=note>Controls: with nothing ablated the scores differ from the plain model's by "
        f"at most {worst:.1%} of what rounding explains; random channels run again through the "
        f"plain model differ by at most {spot:.1e} of the largest delta.</p>"
    )


def _section(found: Survey, name: str, plots: dict[str, str]) -> str:
    mine = {
        key.removeprefix(f"{name}-"): plot
        for key, plot in plots.items()
        if key.startswith(f"{name}-")
    }
    own = Survey(found.facts, {name: found.observations[name]}, [])
    parts = [
        f"<section><h2>{escape(name)}</h2>",
        "<h3>Every channel, and regions in all maps</h3>",
        _grid(mine, ("channels", "margin", "dice"), _strongest(own)),
    ]
    if "map-sets" in mine:
        parts += [
            "<h3>Regions in one map, in some maps</h3>",
            _grid(mine, ("each-map", "each-map-fractions", "map-sets"), MAPS_NOTE),
        ]
    groups = tables.groups(own)
    if groups:
        parts += ["<h3>Groups of channels</h3>", _groups(groups)]
    if any(key.startswith("insertion") for key in mine):
        parts += [
            "<h3>Insertion and deletion</h3>",
            _grid(mine, ("insertion-blur", "deletion-blur", "insertion-mean", "deletion-mean")),
            _gains(found.observations[name]),
        ]
    parts.append("</section>")
    return "\n".join(parts)


def _grid(plots: dict[str, str], names: Sequence[str], last: str = "") -> str:
    """Two to a row; ``last`` is what stands in the last place instead of a plot."""
    cells = [plots[name] for name in names if name in plots] + (
        [f"<div>{last}</div>"] if last else []
    )
    return f'<div class="plots">{"".join(cells)}</div>'


def _strongest(own: Survey, count: int = 8) -> str:
    rows = sorted(tables.channels(own), key=lambda row: -abs(_number(row, "mean_delta")))[:count]
    body = [
        [
            f"channel {row['channel']}",
            f"{_number(row, 'mean_delta'):+.4g}",
            f"{_number(row, 'sd'):.2g}",
            f"{_number(row, 'positive_share'):.0%}",
            f"{_number(row, 'top10_share'):.0%}",
        ]
        for row in rows
    ]
    heads = ["the strongest", "mean delta", "sd", "positive in", "among the ten strongest in"]
    return _table(heads, body)


def _groups(rows: Table) -> str:
    body = [
        [
            str(row["channels"]),
            f"{_number(row, 'mean_delta'):+.4g}",
            f"{_number(row, 'sd'):.2g}",
            f"{_number(row, 'sum_of_single'):+.4g}",
        ]
        for row in rows
    ]
    return _table(["channels", "together", "sd", "sum of single"], body)


def _gains(found: Sequence[Observation]) -> str:
    body = []
    for measure in ("insertion", "deletion"):
        for fill in ("blur", "mean"):
            values = [
                _spread([NUMBERS[f"{measure}_{fill}_{over}"](o) for o in found])
                for over in ("auc", "over_random", "over_mean_map")
            ]
            body.append([f"{measure}, {fill} fill", *values])
    heads = ["", "area", "gain over random", "gain over the mean map"]
    return _table(heads, body) + ("<p class=note>A positive gain is better for both measures.</p>")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(caption: str, data: bytes) -> str:
    encoded = base64.b64encode(data).decode("ascii")
    words = escape(caption)
    return (
        f'<figure><img alt="{words}" src="data:image/jpeg;base64,{encoded}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _spread(values: Sequence[float]) -> str:
    mean, sd = mean_sd(values)
    return "-" if math.isnan(mean) else f"{_short(mean)} ± {_short(sd)}"


def _short(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _number(row: Row, key: str) -> float:
    value = row[key]
    return float(value) if isinstance(value, int | float) else math.nan


def _undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if _undefined(value) else value
