"""The rules of the house, kept by tools: style, types, and which part may know which."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600
"""The first run has no cache: mypy then reads the stubs of everything."""

SCRIPTS = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S - 10, check=False
    )


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports", "--no-cache"),
    ],
    ids=" ".join,
)
def test_the_tool_has_nothing_to_say(command: tuple[str, ...]) -> None:
    done = run(str(SCRIPTS / command[0]), *command[1:])
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"


LIGHT = (
    "agent",
    "agent.records",
    "agent.telemetry",
    "agent.config",
    "agent.cli",
    "agent.cli.health",
    "agent.config.load",
    "agent.capture.system",
    "agent.capture.process",
    "agent.supervision.child",
    "agent.supervision.bootstrap",
    "agent.supervision.ring",
    "agent.simulator.source",
    "agent.alarms.lifecycle.manager",
    "agent.alarms.watch",
    "agent.reports.explain_command",
)


def test_what_starts_in_every_child_loads_no_network_library() -> None:
    """Capture children and light commands must start fast and stay small."""
    code = "import importlib, sys\n" + "".join(
        f"importlib.import_module({name!r})\nassert 'torch' not in sys.modules, {name!r}\n"
        for name in LIGHT
    )
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "agent").rglob("*.py"))
        if not re.match(r'(?:#!.*\n)?"""', file.read_text(encoding="utf-8"))
    ]
    assert silent == []


def test_nothing_is_left_to_be_done_later_in_a_comment() -> None:
    later = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for folder in ("agent", "tests", "config", "deploy")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in (".py", ".yaml", ".md", ".js", ".html", ".css")
        and "node_modules" not in file.parts
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if later.search(line)
    ]
    assert found == []


def test_tests_mirror_the_stages() -> None:
    stages = {path.name for path in (ROOT / "agent").iterdir() if (path / "__init__.py").exists()}
    folders = {path.name for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()}
    assert stages - {"pipeline"} <= folders  # the wiring is tested as a whole, in integration
    assert importlib.util.find_spec("agent") is not None
