"""The runbook has a section for every alarm that can be raised, and says how it clears."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.alarms.catalogue import Cause

RUNBOOK = Path(__file__).parents[2] / "deploy" / "RUNBOOK.md"


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_section(cause: Cause) -> None:
    text = sections()[cause.value]
    assert len(text.split()) > 20


def test_what_a_section_names_exists() -> None:
    """Metrics that the sections of alarms send people to."""
    from agent.observability.catalogue_table import exported_name
    from agent.telemetry import CATALOGUE

    known = {exported_name(metric) for metric in CATALOGUE}
    text = "".join(sections()[cause.value] for cause in Cause)
    named = set(re.findall(r"`(pitwatch_[a-z_]+)`", text))
    bare = {name.removesuffix("_bucket") for name in named}
    assert bare <= known, bare - known
    assert bare
