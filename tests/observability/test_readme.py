"""The README says what is exported and served, no more and no less."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agent.observability.catalogue_table import lines
from agent.observability.http.routes import Routes
from agent.observability.page.words import load_words
from agent.telemetry import CATALOGUE
from tests.observability.conftest import FakeAgent
from tests.observability.http.served import Direct

README = (Path(__file__).parents[2] / "agent" / "observability" / "README.md").read_text("utf-8")


def test_the_table_of_metrics_is_the_catalogue() -> None:
    written = [line for line in README.splitlines() if line.startswith("| `pitwatch_")]
    assert written == list(lines())[2:], "run python -m agent.observability.catalogue_table"
    assert len(written) == len(CATALOGUE)


def test_every_process_metric_is_named(agent: FakeAgent) -> None:
    own = {sample.name for family in agent.registry.collect() for sample in family.samples
           if not sample.name.startswith("pitwatch_")}  # fmt: skip
    assert own
    assert own == set(re.findall(r"`(process_\w+)`", README))


def test_every_route_is_described(agent: FakeAgent) -> None:
    with ThreadPoolExecutor(1) as executor:
        direct, words = Direct(agent.state()), load_words()
        table = Routes(direct, agent.cameras, 5.0, executor, time.monotonic, words).table()
    described = set(re.findall(r"^\| `(?:GET|POST) ([^`]+)` \|", README, re.MULTILINE))
    assert described == {route.path for route in table}
