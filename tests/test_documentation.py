"""What the READMEs say exists."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer

from agent.cli import app
from tests.support.documentation import ROOT, RUN_AS_A_WHOLE, commands, commands_in, pages

LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def command_of(marker: str) -> str:
    """The README's block of this name, as ``.ci/run`` reads it."""
    text = (ROOT / "README.md").read_text()
    command = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)\n```", text, re.DOTALL)
    assert command, marker
    return command[1]


def test_the_readme_has_its_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    for marker, words in (("run-command", "pitwatch run"), ("test-command", "pytest")):
        command = command_of(marker)
        assert words in command
        assert "deploy/offline/install-locked -q" in command, "both install by hash"
        assert "python3 -m venv .venv" in command
    assert not re.search(r"^[A-Z]+_[A-Z]+$", text, re.MULTILINE), "a placeholder was left"


HERE = "tests/integration/test_documented_commands.py"
RUN_BY = {
    r"curl .*": (f"{HERE}::test_commands_that_ask_a_running_agent", ("curl",)),
    r"mosquitto_sub .*": (f"{HERE}::test_commands_that_ask_a_running_agent", ("mosquitto_sub",)),
    r"mosquitto_pub .*": (f"{HERE}::test_commands_that_ask_a_running_agent", ("mosquitto_pub",)),
    r"promtool (check|test) .*": (f"{HERE}::test_commands_that_check_files", ("promtool",)),
    r"prometheus --config\.file=.*": (f"{HERE}::test_the_command_of_prometheus", ("prometheus",)),
    r"\.venv/bin/python -c .*": (f"{HERE}::test_a_picture_of_the_simulator", ("python -c",)),
    r"(\.venv/bin/)?python -m tests\.\w+( \w+)?( --(pictures|minutes|threads|out) \S+)*": (
        f"{HERE}::test_options_of_modules",
        ("python -m", "--help"),
    ),
    r"(\.venv/bin/)?python -m agent\..*": (
        f"{HERE}::test_options_of_modules",
        ("python -m", "--help"),
    ),
    r"(export PYTHONPATH=|sha256sum )\S+": (
        "tests/models/test_recipe.py::test_the_recipe_works_word_for_word",
        ('blocks("sh")',),
    ),
    r"deploy/docker/secrets\.sh": ("tests/deploy/test_containers.py::secrets", ("secrets.sh",)),
}
"""Commands in the documentation: the test (or fixture) that runs them, with ports, folders or a
length of its own, and words of the command that the test contains."""
PARSED_ONLY = (
    r"python3 -m venv \.venv && \.venv/bin/python deploy/offline/install-locked .*",
    r"(docker compose|kubectl (create|apply|patch)) .*",
    r"\.venv/bin/pip install .*",
    r"\.venv/bin/python deploy/offline/install-locked .*",
    r"(sudo )?(python3 (pitwatch-release|/tmp/pitwatch/\S+/pitwatch-release)|pitwatch-release) .*",
    r"tar -xf pitwatch-\*\.tar && cd pitwatch-\*/|tar -xf /tmp/pitwatch/\S+ -C /tmp/pitwatch",
    r"(python3 )?deploy/offline/(make|lock) .*",
    r"openssl (genpkey|pkey|pkeyutl) .*",
    r"sha256sum --check .*",
    r"\.venv/bin/python -m pytest -q -n 3 -m long",
    r"sudo unshare -n bash|ip link set lo up|arv-fake-gv-camera-0\.8 .* &",
)
"""Commands that need a daemon, a cluster, a network or a shell of root, and the tests themselves:
read, never run."""


def source_of(owner: str) -> str:
    """The text of ``file::function``; an owner that is not there raises."""
    file, _, name = owner.partition("::")
    text = (ROOT / file).read_text()
    (found,) = (
        each for each in ast.parse(text).body
        if isinstance(each, ast.FunctionDef) and each.name == name
    )  # fmt: skip
    return ast.get_source_segment(text, found) or ""


@pytest.mark.parametrize("form", RUN_BY)
def test_what_runs_a_command_is_there_and_has_its_words(form: str) -> None:
    owner, words = RUN_BY[form]
    source = source_of(owner)
    assert [word for word in words if word not in source] == []


def test_an_owner_that_is_not_there_would_be_found() -> None:
    with pytest.raises(ValueError, match="not enough values"):
        source_of(f"{HERE}::test_that_nobody_wrote")


def test_a_script_of_many_lines_is_run_as_a_whole() -> None:
    source = source_of(f"{HERE}::test_the_script_that_sets_up_a_broker")
    assert [page for page in RUN_AS_A_WHOLE if page not in source] == []


def parsed(words: list[str]) -> None:
    """Parse the words of a ``pitwatch`` command as the command would; a wrong one raises."""
    name, *arguments = words
    top = typer.main.get_command(app)
    command = top.commands[name]
    if isinstance(command, typer.core.TyperGroup):  # ``pitwatch model stage``
        name, *arguments = arguments
        command = command.commands[name]
    made = command.make_context(name, list(arguments))
    assert made.args == [], "the command line takes all of it"


@pytest.mark.parametrize(
    "wrong", ["run --nonsense", "explain", "calibrate --out a.json", "evaluate --count many"]
)
def test_a_wrong_command_would_be_found(wrong: str) -> None:
    with pytest.raises(Exception, match=r"No such option|Missing|valid integer"):
        parsed(wrong.split())


def listed(command: str) -> bool:
    return any(re.fullmatch(form, command) for form in (*RUN_BY, *PARSED_ONLY))


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda each: each[:60])
def test_every_command_is_run_by_a_test_or_at_least_parsed(page: str, command: str) -> None:
    words = shlex.split(command)
    assert words, page
    if Path(words[0]).name == "pitwatch":
        parsed(words[1:])
        return
    assert listed(command), "in neither list"


@pytest.mark.parametrize("form", [*RUN_BY, *PARSED_ONLY])
def test_every_form_in_the_lists_is_one_that_is_documented(form: str) -> None:
    assert any(re.fullmatch(form, command) for _, command in commands())


@pytest.mark.parametrize("fence", ["sh", "console", ""])
@pytest.mark.parametrize("prompt", ["", "$ "])
def test_a_planted_command_is_collected_from_every_kind_of_fence(fence: str, prompt: str) -> None:
    planted = "wget -q http://127.0.0.1:9464/livez"
    (found,) = commands_in(f"Text.\n\n```{fence}\n{prompt}{planted} \\\n    -O -\n```\n")
    assert found == f"{planted} -O -"
    assert not listed(found)


def test_what_a_command_prints_and_other_languages_are_no_commands() -> None:
    page = "```\n$ curl -s URL\ncam1 live\npublisher.py   what\n```\n```yaml\ncurl: 1\n```\n"
    assert commands_in(page) == ["curl -s URL"]
