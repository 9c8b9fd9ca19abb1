"""Which models the commissioning audit refuses: the shipped one, and those that are wrong on purpose.

Each is audited on several lines (varieties and seeds), as ``pitwatch calibrate`` would: twenty fruit,
every seventh that passes, read by the model itself. The line of the model that learned a shortcut
bears the marks that it learned, since an audit can only find what the line shows.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from agent.ablation.engine import Engine
from agent.alarms.charts.reference import Finding
from agent.commissioning.audit import FRUIT, audit
from agent.commissioning.commission import AUDIT_EVERY
from agent.commissioning.line import Hooks, Wanted, ordinary_production
from agent.config import Camera, Config
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.scoring.planting import Marker, Weights, with_weights
from agent.training.faulty import MODEL_FAULTS, train_shortcut

VARIETIES = ("golden", "crimson")
SEEDS = 5
FIRST_SEED = 5200
SIDE_PX = 256
HEALTHY, SHORTCUT = "shipped", "shortcut"
REFUSED_ALWAYS = ("blind", SHORTCUT)
"""The bar; of the others the table says what becomes of them."""


@dataclass(slots=True)
class Record:
    """Of one model: audits, how many refused it, and how often for what."""

    audits: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, findings: tuple[Finding, ...]) -> None:
        failed = [finding.name for finding in findings if not finding.passed]
        self.audits += 1
        self.refused += bool(failed)
        self.reasons.update(failed)


def audits(folder: Path, share: float) -> tuple[list[str], list[str]]:
    """Train the shortcut, audit all, and return the table's lines and the bars that were missed."""
    folder.mkdir(parents=True, exist_ok=True)
    seeds = range(FIRST_SEED, FIRST_SEED + max(1, round(SEEDS * share)))
    config = Config()
    model = load_model(config.model)
    began = time.monotonic()
    states: dict[str, Weights] = {HEALTHY: model.module.state_dict()}
    states |= {name: fault(states[HEALTHY], 0) for name, fault in MODEL_FAULTS.items()}
    states[SHORTCUT] = train_shortcut()
    trained_s = time.monotonic() - began
    records = {name: Record() for name in states}
    for name, state in states.items():
        for variety in VARIETIES:
            for seed in seeds:
                records[name].add(
                    _findings(config, with_weights(model, state), name, variety, seed)
                )
    lines = [
        f"{len(VARIETIES)} varieties, {len(seeds)} lines of each, {FRUIT} fruit an audit; "
        f"model {model.sha256[:8]}; the shortcut was trained in {trained_s / 60:.0f} min",
        "",
        "| model | audits | refused | for |",
        "|---|---|---|---|",
        *(
            f"| {name} | {one.audits} | {one.refused} | "
            + ", ".join(f"{reason} {count}" for reason, count in one.reasons.most_common())
            + " |"
            for name, one in records.items()
        ),
        "",
    ]
    missed = [
        f"{name}: {records[name].audits - records[name].refused} audits let it pass"
        for name in REFUSED_ALWAYS
        if records[name].refused < records[name].audits
    ]
    if records[HEALTHY].refused:
        missed.append(f"{HEALTHY}: {records[HEALTHY].refused} audits refused it")
    return lines, missed


def _findings(
    config: Config, model: LoadedModel, name: str, variety: str, seed: int
) -> tuple[Finding, ...]:
    camera = Camera(name="cam1", source=f"sim:?seed={seed}&variety={variety}&size={SIDE_PX}")
    hooks = Hooks(change=Marker(SIDE_PX)) if name == SHORTCUT else None
    passing = ordinary_production(config, camera, model, Wanted(variety, 900.0), hooks)
    fruit = (one for one in passing if not one.reading.empty)
    frames = [one.frame for one in islice(fruit, 0, FRUIT * AUDIT_EVERY, AUDIT_EVERY)]
    return audit(Engine(model, config.ablation, config.model.layer), frames).findings
