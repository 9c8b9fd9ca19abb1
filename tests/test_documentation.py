"""What the READMEs say exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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
