"""The commands that the pages of documentation show, whatever fence they stand in."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_AS_A_WHOLE = ("deploy/mosquitto/README.md",)
"""Pages whose shell block is a script of many lines, which a test runs as such."""
SHELL = ("sh", "bash", "shell", "console")
PROGRAMS = (
    "apt apt-get bash chmod cp curl docker git helm install journalctl kubectl mosquitto"
    " mosquitto_passwd mosquitto_pub mosquitto_sub openssl pip pip3 pitwatch prometheus promtool"
    " pytest python python3 sh sudo systemctl systemd-analyze systemd-creds useradd wget"
)
"""What makes a line of a plain fence a command, beside a prompt and a path to a program."""
FENCE = re.compile(r"^```([\w-]*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    """Every page of the checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    names = listed.stdout.split() if listed.returncode == 0 else []
    return [ROOT / name for name in names] or sorted(ROOT.glob("*.md"))


def commands_in(text: str) -> list[str]:
    """Commands of the fences of one page: each line of a shell's, and of one without a language
    what follows a prompt, names a known program or begins with a path; a backslash joins two."""
    found = []
    for language, block in FENCE.findall(text):
        if language and language not in SHELL:
            continue
        for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines():
            command = re.sub(r"\s+#.*$", "", line).strip()
            if not command or command.startswith("#"):
                continue
            prompt = command.startswith("$ ")
            command = command.removeprefix("$ ")
            if prompt or language or _is_command(command):
                found.append(command)
    return found


def _is_command(line: str) -> bool:
    word = line.split()[0]
    return word in PROGRAMS.split() or word.startswith(
        (".venv/bin/", "./", "deploy/", "/opt/pitwatch/bin/")
    )


def commands() -> list[tuple[str, str]]:
    """Page and command, of every page whose blocks are not run as a whole."""
    names = {str(page.relative_to(ROOT)): page for page in pages()}
    return [
        (name, command)
        for name, page in names.items()
        if name not in RUN_AS_A_WHOLE
        for command in commands_in(page.read_text())
    ]
