from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from agent.cli import app
from agent.training.trainer import Trainer
from tests.training.test_folder import write_pair

runner = CliRunner()


def test_evaluate_prints_a_table_and_writes_every_number_and_the_worst_pictures(
    tmp_path: Path,
) -> None:
    numbers, sheet = tmp_path / "numbers.json", tmp_path / "worst.png"
    arguments = ["evaluate", "--count", "12", "--json", str(numbers), "--sheet", str(sheet)]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "angle_error_median_deg" in result.output
    document = json.loads(numbers.read_text())
    assert len(document["cases"]) == 12
    assert document["summary"]["fruit"] + document["summary"]["empty_cups"] == 12
    assert cv2.imread(str(sheet)) is not None


def test_evaluate_takes_a_folder(tmp_path: Path) -> None:
    write_pair(tmp_path, "peach_1", 1)
    result = runner.invoke(app, ["evaluate", "--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "suture_dice" in result.output


def test_a_bad_folder_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    for command in (["evaluate"], ["train", "--out", str(tmp_path / "x.safetensors")]):
        result = runner.invoke(app, [*command, "--folder", str(tmp_path / "nowhere")])
        assert result.exit_code == 1
        assert "no such folder" in result.output
        assert "Traceback" not in result.output


def test_weights_that_are_none_are_one_line_and_exit_code_78(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    result = runner.invoke(app, ["evaluate", "--model", str(tmp_path / "x.safetensors")])
    assert result.exit_code == 78
    assert "x.safetensors" in result.output


def test_a_results_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "no" / "numbers.json"
    result = runner.invoke(app, ["evaluate", "--count", "1", "--json", str(target)])
    assert result.exit_code == 1
    assert "numbers.json" in result.output


def test_an_interrupted_training_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupted)
    out = tmp_path / "x.safetensors"
    arguments = ["train", "--out", str(out), "--effort", "0.0003", "--features", "4"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        f"pitwatch: interrupted; {out}.checkpoint goes on with --resume"
    )
    kept = out.with_name("x.safetensors.checkpoint")
    before = kept.read_bytes()
    result = runner.invoke(app, arguments)
    assert result.exit_code == 1
    assert f"{kept}: of an earlier training; --resume goes on from it" in result.stderr
    assert kept.read_bytes() == before
    both = runner.invoke(app, [*arguments, "--resume", "--discard"])
    assert "one of the two" in both.stderr
    assert runner.invoke(app, [*arguments, "--discard"]).exit_code == 130


def test_train_makes_weights_that_evaluate_can_judge(tmp_path: Path) -> None:
    out = tmp_path / "tiny.safetensors"
    arguments = [
        "train",
        "--out",
        str(out),
        "--effort",
        "0.0003",
        "--features",
        "4",
        "--cases",
        "8",
    ]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "sha256" in result.output
    for phase in ("training", "calibration", "judging", "plausibility", "writing the card"):
        assert re.search(rf"Z {phase}.* begins", result.stderr), phase
    result = runner.invoke(app, ["evaluate", "--model", str(out), "--count", "3"])
    assert result.exit_code == 0, result.output
