"""The command line: exit codes, one line per error, and nothing heavy before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent import __version__
from agent.cli import app
from agent.config import Score
from agent.preflight import load_config


def pitwatch(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", "TERM": "dumb"})


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(
        f"state_dir: {tmp_path}\ncameras: [{{name: a, source: 'sim:'}}]\n"
        "mqtt: {broker: 'mqtts://h', username: u, password: hunter2}\n"
    )
    return file


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    file = tmp_path / "bad.yaml"
    file.write_text("id: 'a b'\nmqtt:\n  brokr: x\n")
    return file


class Started(ModuleType):
    """Stands for ``agent.pipeline``: remembers what it was started with."""

    def __init__(self, exit_code: int = 0) -> None:
        super().__init__("agent.pipeline")
        self.exit_code = exit_code
        self.calls: list[tuple[Any, Any]] = []

    class RunOptions:
        def __init__(self, **options: Any) -> None:
            self.__dict__.update(options)

    def run(self, config: Any, options: Any) -> int:
        self.calls.append((config, options))
        return self.exit_code


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setitem(sys.modules, "agent.pipeline", started)
    return started


# --- start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["run", "--help"], ["check-config"]]
)
def test_a_light_command_loads_no_network_library(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom agent.cli import app\n"
        f"try:\n    app({arguments!r})\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1] == "False"


def test_the_version_is_that_of_the_package() -> None:
    assert pitwatch("--version").stdout == f"pitwatch {__version__}\n"


def test_help_names_the_commands() -> None:
    result = pitwatch("--help")
    assert result.exit_code == 0
    for command in ("run", "explain", "study", "check-config", "train", "evaluate"):
        assert command in result.stdout


@pytest.mark.parametrize(
    "arguments", [["rum"], ["run", "--confg", "x"], ["run", "--duration", "x"]]
)
def test_a_wrong_command_line_is_an_error_with_code_2(arguments: list[str]) -> None:
    result = pitwatch(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


# --- check-config --------------------------------------------------------------------------------


def test_a_good_file_is_said_to_be_good(good: Path) -> None:
    result = pitwatch("check-config", str(good))
    assert result.exit_code == 0
    assert result.stdout == f"{good}: no errors\n"
    assert "warning: mqtt.password" in result.stderr


def test_the_file_may_be_given_as_for_run(good: Path, bad: Path) -> None:
    assert pitwatch("check-config", "--config", str(good)).exit_code == 0
    assert pitwatch("check-config", str(good), "--config", str(good)).exit_code == 0
    assert pitwatch("check-config", str(good), "--config", str(bad)).exit_code == 2


def test_a_bad_file_ends_with_78_and_every_error_on_a_line_of_stderr(bad: Path) -> None:
    result = pitwatch("check-config", str(bad))
    assert result.exit_code == 78
    assert result.stdout == ""
    first, *errors = result.stderr.splitlines()
    assert first == f"pitwatch: {bad}: 3 errors"
    assert [error.split(": ")[1] for error in errors] == ["id", "mqtt.broker", "mqtt.brokr"]


def test_a_file_that_is_not_there_ends_with_78(tmp_path: Path) -> None:
    result = pitwatch("check-config", str(tmp_path / "none.yaml"))
    assert result.exit_code == 78
    assert "No such file" in result.stderr
    assert "Traceback" not in result.stderr


def test_print_shows_a_file_that_loads_again_and_masks_secrets(good: Path, tmp_path: Path) -> None:
    result = pitwatch("check-config", str(good), "--print")
    assert result.exit_code == 0
    assert "hunter2" not in result.output
    shown = tmp_path / "shown.yaml"
    shown.write_text(result.stdout)
    config = load_config(shown).config
    assert config.mqtt.broker == "mqtts://h"
    assert config.model_copy(update={"mqtt": None}) == load_config(good).config.model_copy(
        update={"mqtt": None}
    )


# --- run -----------------------------------------------------------------------------------------


def test_run_without_options_is_the_demonstration(pipeline: Started) -> None:
    assert pitwatch("run").exit_code == 0
    ((config, options),) = pipeline.calls
    assert config.cameras[0].source == "sim:"
    assert config.mqtt.broker == "embedded"
    assert (options.duration_s, options.plain) == (None, False)
    assert options.config_hash == load_config(None).sha256


def test_the_flags_that_people_reach_for_first_override_the_file(
    pipeline: Started, good: Path, tmp_path: Path
) -> None:
    model = tmp_path / "m.safetensors"
    model.touch()
    result = pitwatch(
        "run", "--config", str(good), "--source", "sim:", "--source", "rtsp://h/1",
        "--broker", "mqtt://10.0.0.1:2883", "--http", "127.0.0.2:8080", "--model", str(model),
        "--duration", "2.5", "--plain",
    )  # fmt: skip
    assert result.exit_code == 0
    ((config, options),) = pipeline.calls
    assert [camera.source for camera in config.cameras] == ["sim:", "rtsp://h/1"]
    assert config.mqtt.broker == "mqtt://10.0.0.1:2883"
    assert (config.http.host, config.http.port) == ("127.0.0.2", 8080)
    assert config.model.path == model
    assert (options.duration_s, options.plain) == (2.5, True)


@pytest.mark.parametrize("exit_code", [0, 1, 78])
def test_the_exit_code_is_that_of_the_run(pipeline: Started, exit_code: int) -> None:
    pipeline.exit_code = exit_code
    assert pitwatch("run", "--plain").exit_code == exit_code


def test_a_bad_configuration_starts_nothing(pipeline: Started, bad: Path) -> None:
    assert pitwatch("run", "--config", str(bad)).exit_code == 78
    assert pitwatch("run", "--broker", "tcp://user:hunter2@h").exit_code == 78
    assert pitwatch("run", "--source", "what://x").exit_code == 78
    assert not pipeline.calls


def test_an_error_in_an_option_names_it_and_no_password(pipeline: Started) -> None:
    result = pitwatch("run", "--broker", "tcp://user:hunter2@h")
    assert "--broker" in result.stderr
    assert "mqtt://HOST:PORT" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize("duration", ["0", "-1", "nan", "inf"])
def test_a_duration_is_a_number_of_seconds_above_0(pipeline: Started, duration: str) -> None:
    assert pitwatch("run", "--duration", duration).exit_code == 2
    assert not pipeline.calls


# --- explain -------------------------------------------------------------------------------------


def test_explain_hands_everything_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import agent.reports.explain_command as command

    asked: list[command.ExplainOptions] = []

    def explain_picture(options: command.ExplainOptions) -> int:
        asked.append(options)
        return 1

    monkeypatch.setattr(command, "explain_picture", explain_picture)
    weights = tmp_path / "m.safetensors"
    weights.touch()
    result = pitwatch(
        "explain", "p.png", "--out", "o.png", "--json", "n.json", "--npz", "a.npz",
        "--mask", "m.png", "--model", str(weights), "--layer", "encoder4", "--class", "2",
        "--method", "region-occlusion", "--score", "logit_sum",
    )  # fmt: skip
    assert result.exit_code == 1
    (options,) = asked
    assert (options.picture, options.out) == (Path("p.png"), Path("o.png"))
    assert (options.json, options.npz, options.mask) == (
        Path("n.json"),
        Path("a.npz"),
        Path("m.png"),
    )
    assert (options.model.path, options.layer, options.class_name) == (weights, "encoder4", "2")
    assert (options.method, options.score) == ("region-occlusion", Score.LOGIT_SUM)


def test_explain_hands_on_what_is_explained_and_how_it_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import agent.reports.explain_command as command

    asked: list[command.ExplainOptions] = []
    monkeypatch.setattr(command, "explain_picture", lambda options: asked.append(options) or 0)
    result = pitwatch(
        "explain", "p.png", "--sheet", "s.png", "--layers", "enc*", "--region", "component:2",
        "--baseline", "mean", "--reference", "sim:?seed=7&size=64", "--groups", "cluster:4",
        "--checks", "--method", "occlusion", "--patch", "24x20", "--stride", "12", "--fill", "mean",
    )  # fmt: skip
    assert result.exit_code == 0
    (options,) = asked
    assert (options.sheet, options.layers, options.region) == (Path("s.png"), "enc*", "component:2")
    assert (options.baseline, options.groups, options.checks) == ("mean", "cluster:4", True)
    assert options.patch == command.PatchOptions(size_px=(20, 24), stride_px=12, fill="mean")
    assert [shot.name for shot in options.reference][:2] == ["fruit-7", "fruit-8"]
    image, mask = options.reference[0].read()
    assert image.shape == (64, 64, 4)
    assert mask is not None


def test_explain_and_study_name_the_baselines_and_the_sources_that_there_are(
    tmp_path: Path,
) -> None:
    out = str(tmp_path / "out")
    for command in (("explain", "p.png"), ("study", "sim:", "--out", out)):
        result = pitwatch(*command, "--baseline", "median")
        assert result.exit_code == 2
        assert "'median' is none of zero, mean" in result.stderr
        result = pitwatch(*command, "--reference", str(tmp_path / "none"))
        assert result.exit_code == 1
        assert "none: cannot be listed" in result.stderr
    for source, words in (("sim:?sed=1", "sed"), (str(tmp_path), "holds no picture")):
        result = pitwatch("study", source, "--out", out)
        assert result.exit_code == 1
        assert words in result.stderr
        assert "Traceback" not in result.stderr


def test_study_hands_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import agent.reports.study_command as study

    asked: list[study.StudyOptions] = []
    monkeypatch.setattr(study, "run_study", lambda options: asked.append(options) or 1)
    result = pitwatch(
        "study", "sim:?seed=3&size=64", "--out", "o", "--count", "2", "--class", "stem",
        "--layer", "encoder3", "--score", "dice_drop", "--groups", "contiguous:2",
        "--examples", "1", "--no-maps", "--seed", "5",
    )  # fmt: skip
    assert result.exit_code == 1
    (options,) = asked
    assert [shot.name for shot in options.shots] == ["fruit-3", "fruit-4"]
    assert (options.source, options.out) == ("sim:?seed=3&size=64", Path("o"))
    assert (options.classes, options.layer) == (("stem",), "encoder3")
    assert (options.score, options.groups) == (Score.DICE_DROP, "contiguous:2")
    assert (options.examples, options.maps, options.seed) == (1, False, 5)


def test_explain_names_the_scores_that_there_are() -> None:
    result = pitwatch("explain", "p.png", "--score", "margins")
    assert result.exit_code == 2
    assert "dice_drop" in result.stderr


def test_explain_names_the_methods_that_there_are() -> None:
    result = pitwatch("explain", "p.png", "--method", "grad-cam")
    assert result.exit_code == 2
    assert "region-occlusion" in result.stderr


@pytest.mark.parametrize("name", ["--method", "--score"])
def test_explain_tells_a_mistyped_name_before_it_reads_anything(name: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    result = pitwatch("explain", "p.png", name, "x", "--model", absent, "--reference", absent)
    assert result.exit_code == 2
    assert name in result.stderr


def test_explain_refuses_a_model_that_is_a_program(tmp_path: Path) -> None:
    program = tmp_path / "m.pt2"
    program.touch()
    result = pitwatch("explain", "p.png", "--model", str(program))
    assert result.exit_code == 78
    assert "program" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("ends", ["0", "78", "'a sentence'"])
def test_a_thread_that_is_still_in_native_code_does_not_change_how_the_command_ends(
    ends: str,
) -> None:
    script = f"""
import sys, threading, time
from agent import cli
def app():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    print("the last words")
    sys.exit({ends})
cli.app = app
cli.main()
"""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "the last words\n"
    assert done.returncode == (int(ends) if ends.isdigit() else 1)
    assert ("a sentence" in done.stderr) == (not ends.isdigit())
    assert time.monotonic() - began < 55


def test_what_a_closed_terminal_was_to_be_shown_makes_no_exit_code() -> None:
    program = (
        "import os, sys; from agent.cli import flush_or_drop;"
        " sys.stdout.write('a picture of the live view');"
        " sys.stdin.readline();"  # the terminal closes
        " {}"
    )
    for ending, code in (("flush_or_drop(sys.stdout)", 0), ("pass", 120)):
        ours, its = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", program.format(ending)],
            stdin=subprocess.PIPE, stdout=its, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
        )  # fmt: skip
        os.close(its)
        os.close(ours)
        process.communicate(b"\n", timeout=60)
        assert process.returncode == code, ending
