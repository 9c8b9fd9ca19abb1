"""What is known of a staged model: as JSON values, and as a page that opens without a network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.pipeline.model_swap.shadow import ShadowSettings
from agent.pipeline.model_swap.state import Chosen, Staged
from agent.pipeline.model_swap.tally import Mean
from agent.storage.whole_file import whole_file

STYLE = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:50em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3em .6em;"
    "border-bottom:1px solid #ccc}.no{color:#a00;font-weight:bold}"
)


def of_model(chosen: Chosen) -> dict[str, object]:
    """Which model it is."""
    path = chosen.settings.path or chosen.settings.factory
    return {
        "name": chosen.name,
        "sha256": chosen.sha256,
        "path": str(path) if path else "shipped with Pitwatch",
        "references": {variety: str(path) for variety, path in chosen.references.items()},
    }


def of_staged(staged: Staged, settings: ShadowSettings) -> dict[str, object]:
    """Everything about a staged model; numbers that are not known yet are None."""
    tally = staged.tally
    rates = tally.no_read_rates()
    return {
        "model": of_model(staged.chosen),
        "given": staged.given,
        "phase": staged.phase.value,
        "refused_because": staged.told,
        "varieties": list(staged.varieties),
        "staged_by_uid": staged.by_uid,
        "staged_utc_ms": staged.since_utc_ms,
        "audit": [line.model_dump() for line in staged.audit],
        "shadow": {
            "seconds": round(staged.shadow_s, 1),
            "seconds_wanted": settings.time_s,
            "pictures": tally.pictures,
            "pictures_wanted": settings.pictures_min,
            "failed": tally.failed,
            "dice": {name: _mean(one) for name, one in tally.dice.items()},
            "dice_least": {name: one.least for name, one in tally.dice.items() if one.count},
            "both_read": tally.both_read,
            "angle_apart_deg": {
                f"p{round(100 * share)}": tally.angle_quantile_deg(share)
                for share in (0.5, 0.95, 0.99)
            },
            "no_read_rate": None if rates is None else {"live": rates[0], "staged": rates[1]},
            "sensitivity": {
                "live": _mean(tally.live_sensitivity),
                "staged": _mean(tally.sensitivity),
            },
            "background": {"live": _mean(tally.live_reliance), "staged": _mean(tally.reliance)},
        },
        "cost_ms": {"live": staged.live_ms, "staged": staged.own_ms} if staged.own_ms else None,
        "report": staged.report,
    }


def write(folder: Path, staged: Staged, live: Chosen, settings: ShadowSettings) -> Path:
    """Write the page and, beside it, the same as JSON; the page's path. ``OSError``."""
    folder.mkdir(mode=0o750, exist_ok=True)
    values = {"live": of_model(live), **of_staged(staged, settings)}
    page = folder / "report.html"
    values["report"] = str(page)
    with whole_file(page.with_suffix(".json")) as file:
        file.write(json.dumps(values, indent=1, allow_nan=False).encode() + b"\n")
    with whole_file(page) as file:
        file.write(_page(values, staged, live).encode())
    return page


def _mean(one: Mean) -> float | None:
    return one.value


def _page(values: Mapping[str, object], staged: Staged, live: Chosen) -> str:
    title = f"{staged.chosen.name or staged.given} beside {live.name}"
    audit = _table(
        ("audit", "value", "limit", ""),
        [
            (one.text, f"{one.value:.3g}", f"{one.limit:g}", "passed" if one.passed else "failed")
            for one in staged.audit
        ],
    )
    shadow = values["shadow"]
    assert isinstance(shadow, dict)
    rows = [(name.replace("_", " "), _shown(value)) for name, value in shadow.items()]
    rows.append(("processor time of a picture, ms", _shown(values["cost_ms"])))
    told = f'<p class="no">{html.escape(staged.told)}</p>' if staged.told else ""
    facts = _table(
        ("model", "name", "digest"),
        [
            ("live", live.name, live.sha256),
            ("staged", staged.chosen.name, staged.chosen.sha256),
        ],
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(staged.given)}: {staged.phase.value}</p>{told}{facts}"
        f"<h2>Audit</h2>{audit}<h2>Shadow</h2>{_table(('shadow', ''), rows)}</html>\n"
    )


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(one, 'td') for one in rows)}</table>"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items()) or "-"
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
