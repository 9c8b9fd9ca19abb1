"""Two commands share the tests: each test belongs to one, and the whole check runs both."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.long_tests import LONG, MARK, left_out, refuse_what_both_leave_out
from tests.test_documentation import ROOT, command_of

PYTEST = ".venv/bin/python -m pytest -q -n 3"


def test_what_one_command_leaves_out_is_what_the_other_runs() -> None:
    assert command_of("test-command").endswith(f" && {PYTEST} -m 'not {LONG}'")
    assert command_of("long-test-command") == f"{PYTEST} -m {LONG}"


def test_no_test_is_left_out_by_the_settings_of_all_runs() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    words = settings["addopts"].split()
    assert [word for word in words if word.startswith(("-m", "-k", "--ignore", "--deselect"))] == []


def test_the_whole_check_runs_both_and_skips_nothing() -> None:
    script = (ROOT / ".ci/run").read_text()
    loop = re.search(r"\nfor name in (.*); do\n(.*?)\ndone\n", script, re.DOTALL)
    assert loop
    assert loop[1].split() == ["test-command", "long-test-command"]
    assert 'command=$(command_of "$name")' in loop[2]
    assert 'bash -euo pipefail -c "$command"' in loop[2]
    assert script.index("export PITWATCH_REQUIRE_TOOLS=1") < loop.start()


def test_every_mark_is_spelled_as_it_is_looked_for() -> None:
    other = [
        str(file.relative_to(ROOT))
        for file in sorted((ROOT / "tests").rglob("*.py"))
        if re.search(rf"(?<!pytest\.)\bmark\.{LONG}\b", file.read_text(encoding="utf-8"))
    ]
    assert other == []


@pytest.mark.parametrize(
    ("name", "text", "expression", "out"),
    [
        ("test_a.py", "def test_a(): pass\n", LONG, True),
        ("test_a.py", f"@{MARK}\ndef test_a(): pass\n", LONG, False),
        ("test_a.py", "def test_a(): pass\n", f"not {LONG}", False),
        ("test_a.py", "def test_a(): pass\n", "", False),
        ("test_a.py", "def test_a(): pass\n", f"{LONG} or needs_node", False),
        ("conftest.py", "", LONG, False),
        ("__init__.py", "", LONG, False),
        ("test_a.txt", "", LONG, False),
    ],
)
def test_only_the_long_command_passes_over_files_and_only_those_without_a_long_test(
    tmp_path: Path, name: str, text: str, expression: str, out: bool
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert left_out(file, expression) is out


def test_a_long_test_that_neither_command_would_run_is_refused(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = tmp_path / "test_a.py"
    file.write_text("from marks import all_of_them\n")
    item = pytest.Function.from_parent(request.node.parent, name=request.node.originalname)
    item.path = file
    refuse_what_both_leave_out(item)
    item.add_marker(LONG)
    with pytest.raises(pytest.UsageError, match=r"test_a_long_test.* its file has no pytest"):
        refuse_what_both_leave_out(item)
    file.write_text(f"@{MARK}\ndef test_a(): pass\n")
    refuse_what_both_leave_out(item)
