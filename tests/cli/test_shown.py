"""How the commands look: completion, flags, and terminals that lack a character."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from rich.console import Console
from rich.table import Table

from agent.cli import app, shown
from agent.observability.terminal.render import render
from tests.cli.test_cli import pitwatch
from tests.observability.samples import alarm
from tests.observability.terminal.test_terminal import agent_view


def test_no_flag_of_any_command_asks_for_a_value() -> None:
    """``--plain <bool>`` was tried as ``--plain true``."""
    for command in ("", *(str(one.name) for one in app.registered_commands)):
        told = pitwatch(*command.split(), "--help").stdout
        assert "--help" in told
        assert "bool" not in told.lower(), command


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("pitwatch check-c", "check-config"), ("pitwatch run --dur", "--duration")],
)
def test_a_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    asked = {
        "_PITWATCH_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    code = "import sys; sys.argv[0] = 'pitwatch'; from agent.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [offered]


def test_completion_can_be_installed() -> None:
    told = pitwatch("--help").stdout
    assert "--install-completion" in told
    assert "--show-completion" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc", "abc"),
        ("18.2°", "18.2 "),
        ("█░…", "#-~"),
        ("─│┌┼╭", "-|+++"),
        ("è ü É ﬁ", "e u E f"),
        ("桃\U0001f351", "??"),
    ],
)
def test_every_character_has_a_plain_one_of_the_same_width(text: str, said: str) -> None:
    assert shown.plain(text) == said
    assert len(said) == len(text)


def test_ascii_output_shows_the_whole_view_with_its_columns_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    ascii_only = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace"))
    shown.never_fail_on_a_character()
    view = agent_view(alarms=(alarm(),))
    for width in (30, 80, 120):
        Console(width=width).print(render(view, width))
    table = Table("name", "value", title="held-out: più")
    table.add_row("angle", "18.2°")
    Console(width=40).print(table)
    ascii_only.flush()
    said = raw.getvalue().decode("ascii")
    assert "12.5 " in said
    assert "########--" in said
    assert "held-out: piu" in said
    wide = io.StringIO()
    for width in (30, 80, 120):
        Console(width=width, file=wide).print(render(view, width))
    lengths = [len(line) for line in wide.getvalue().splitlines()]
    assert [len(line) for line in said.splitlines()][: len(lengths)] == lengths
    sys.stderr.write("più\n")
    sys.stderr.flush()
    assert sys.stderr.buffer.getvalue() == b"piu\n"  # type: ignore[attr-defined]
