"""What calibrate looks at, and says, before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from agent.alarms.charts.budget import Budget
from agent.cli import app
from agent.commissioning import command
from agent.commissioning.begin import announced, check_variety, lots_for
from agent.commissioning.command import _in_lines, _told, counting_progress
from agent.commissioning.commission import Plan
from agent.commissioning.design import windows_for
from agent.commissioning.errors import CommissioningError
from agent.commissioning.samples import CupSample, SampleFile, samples_in
from agent.config import Camera

HEADER = {"samples": 3}


class LoadedError(Exception):
    """The model would be loaded now."""


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(*_: object) -> None:
        raise LoadedError

    monkeypatch.setattr(command, "load_model", loaded)


def calibrate(out: Path, *more: str) -> Result:
    arguments = ["calibrate", "--variety", "golden", "--out", str(out), *more]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})


def collected(out: Path, many: int = 3) -> Path:
    path = out.with_name(out.name + ".samples")
    file = SampleFile(path, HEADER, resume=False)
    for number in range(many):
        file.add(CupSample("lot-0", float(number), 0.1))
    file.close()
    return path


def test_what_was_collected_is_lost_only_where_it_is_said(tmp_path: Path) -> None:
    """A run that was given up after hours was overwritten by the next one."""
    out = tmp_path / "golden.json"
    path = collected(out)
    before = path.read_bytes()
    result = calibrate(out)
    assert result.exit_code == 1
    assert "holds 3 samples" in result.stderr
    assert "--resume" in result.stderr
    assert "--discard" in result.stderr
    assert path.read_bytes() == before
    both = calibrate(out, "--resume", "--discard")
    assert both.exit_code == 1
    assert "one of the two" in both.stderr
    for said in ("--resume", "--discard"):
        assert isinstance(calibrate(out, said).exception, LoadedError)
        assert path.read_bytes() == before  # nothing is thrown away before there is something new


def test_a_file_without_samples_is_no_loss(tmp_path: Path) -> None:
    out = tmp_path / "golden.json"
    assert samples_in(tmp_path / "none.samples") == 0
    assert samples_in(collected(out, 0)) == 0
    assert isinstance(calibrate(out).exception, LoadedError)
    (tmp_path / "folder.json.samples").mkdir()
    assert "cannot be read" in calibrate(tmp_path / "folder.json").stderr


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("golden.safetensors", "must end with .json"),
        ("golden", "must end with .json"),
        ("none/golden.json", "there is no folder"),
        ("folder.json", "is a folder"),
    ],
)
def test_a_place_that_takes_no_reference_is_told_before_anything_is_done(
    tmp_path: Path, out: str, words: str
) -> None:
    (tmp_path / "folder.json").mkdir()
    result = calibrate(tmp_path / out)
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["folder.json"]


def test_a_camera_or_variety_that_there_is_not_is_told_with_the_nearest(tmp_path: Path) -> None:
    out = tmp_path / "golden.json"
    result = calibrate(out, "--camera", "cam2")
    assert "unknown camera 'cam2'; did you mean cam1" in result.stderr
    result = calibrate(out, "--source", "sim:?variety=goldn")
    assert "did you mean golden" in result.stderr
    result = calibrate(out, "--source", "sim:?variety=blush,pale")
    assert "unknown variety 'golden'" in result.stderr
    for source in ("sim:", "sim:?variety=golden", "rtsp://camera/1", "/pictures"):
        check_variety(Camera(name="a", source=source), "golden")
    with pytest.raises(CommissioningError, match="did you mean golden"):
        check_variety(Camera(name="a", source="sim:", sim={"variety": ("golden",)}), "goldn")


def test_how_long_it_takes_is_said_before() -> None:
    budget = Budget()
    assert lots_for(12, 900.0, budget) == 13  # the budget asks for more windows than 12 lots make
    assert lots_for(40, 900.0, budget) == 40
    assert lots_for(1, 60.0, budget) == windows_for(budget)
    assert lots_for(1, 36_000.0, budget) == 10
    live = announced(Camera(name="a", source="rtsp://camera/1"), 40, 15.0, budget)
    assert "40 lots; of 15 minutes each" in live
    assert "10.0 h of production" in live
    assert "not counted" in live
    recorded = announced(Camera(name="a", source="sim:"), 12, 15.0, budget)
    assert "3.2 h of production, read as fast as this computer goes" in recorded


def test_a_log_file_hears_every_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    plan = Plan("golden", tmp_path / "golden.json", lots=12)
    with counting_progress(console) as progress, _in_lines(console) as lines:
        told = _told(progress, plan, console, lines)
        told.audited(20)
        told.collected(-1, 5, 1)
        told.collected(3, 900, 120)
        told.limited(1, 7)
    said = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    assert [line for line in said if "begins" in line] == [
        "audit begins: 20 to do",
        "collecting lots begins: 12 to do",
        "limits of signals begins: 7 to do",
    ]
