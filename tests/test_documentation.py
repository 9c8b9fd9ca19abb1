"""What the READMEs say exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer

from agent.cli import app

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = listed.stdout.split() if listed.returncode == 0 else []
    return [ROOT / name for name in names] or sorted(ROOT.glob("*.md"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    for marker, words in (("run-command", "pitwatch run"), ("test-command", "pytest")):
        command = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
        assert command, marker
        assert words in command[1]
        assert "-c constraints.txt" in command[1], "both pin torch in one place"
        assert "python3 -m venv .venv" in command[1]
    assert not re.search(r"^[A-Z]+_[A-Z]+$", text, re.MULTILINE), "a placeholder was left"


RUN_BY = {
    r"python3 -m venv \.venv && \.venv/bin/pip install .*": ".ci/run",
    r"curl -s http://127\.0\.0\.1:9464/\S+": "tests/observability/test_http.py",
    r"(\.venv/bin/)?python -m tests\.soak.*": "tests/soak/__main__.py",
    r"(\.venv/bin/)?python -m tests\.benchmarks.*": "tests/benchmarks/__main__.py",
    r"(\.venv/bin/)?python deploy/grafana/make\.py": "tests/deploy/test_grafana.py",
    r"promtool (check|test) .*": "tests/deploy/test_prometheus_files.py",
    r"prometheus --config\.file=.*": "tests/support/prometheus.py",
    r"deploy/docker/secrets\.sh": "tests/deploy/test_containers.py",
    r"mosquitto_pub .*": "tests/publishing/test_publisher.py",
}
"""Commands in the documentation, and what runs them, or the same with paths of its own."""
RUN_AS_A_WHOLE = {"deploy/mosquitto/README.md": "tests/deploy/test_mosquitto.py"}
"""Pages whose blocks are scripts of many lines, and the test that runs them."""
PARSED_ONLY = (
    r"(\.venv/bin/)?python -c .*",
    r"(\.venv/bin/)?python -m agent\..*",
    r"(docker|kubectl|systemctl|journalctl|timedatectl) .*",
    r"apt-get install .*",
    r"\.venv/bin/pip install .*",
)
"""Commands that need a daemon, a cluster, another machine or minutes: read, never run."""


@pytest.mark.parametrize("owner", sorted({*RUN_BY.values(), *RUN_AS_A_WHOLE.values()}))
def test_what_runs_a_command_is_there(owner: str) -> None:
    assert (ROOT / owner).exists()


def commands() -> list[tuple[str, str]]:
    """Page and command of every line in a ``sh`` block; a backslash joins two."""
    found = []
    for page in pages():
        if str(page.relative_to(ROOT)) in RUN_AS_A_WHOLE:
            continue
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = re.sub(r"\s+#.*$", "", line).strip()
                if command and not command.startswith("#"):
                    found.append((str(page.relative_to(ROOT)), command))
    return found


def parsed(words: list[str]) -> None:
    """Parse the words of a ``pitwatch`` command as the command would; a wrong one raises."""
    name, *arguments = words
    top = typer.main.get_command(app)
    made = top.commands[name].make_context(name, list(arguments))
    assert made.args == [], "the command line takes all of it"


@pytest.mark.parametrize(
    "wrong", ["run --nonsense", "explain", "calibrate --out a.json", "evaluate --count many"]
)
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"No such option|Missing|valid integer"):
        parsed(wrong.split())


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda each: each[:60])
def test_every_command_is_run_by_a_test_or_at_least_parsed(page: str, command: str) -> None:
    words = shlex.split(command)
    assert words, page
    if Path(words[0]).name == "pitwatch":
        parsed(words[1:])
        return
    listed = (*RUN_BY, *PARSED_ONLY)
    assert any(re.fullmatch(form, command) for form in listed), "in neither list"
