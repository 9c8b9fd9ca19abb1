"""The whole course over a bank that is there already, and what is refused before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agent import config
from agent.alarms.charts.reference import save_reference
from agent.cli import app
from agent.models.loading import load_model
from agent.scoring.bank import Bank, Wanted
from agent.scoring.errors import ScoringError
from agent.scoring.planting import Line
from agent.scoring.protocol import load_protocol
from agent.scoring.recording import Recorder, save_recording
from agent.scoring.scoring import check_claim, claim
from tests.scoring.support import recording, small, usual_reference

SIDE_PX = 96
SETTINGS = config.Config(
    model=config.Model(preprocessing=config.Preprocessing(width_px=SIDE_PX, height_px=SIDE_PX)),
    ablation=config.Ablation(classes=("suture",), fractions=(1.0,), background_draws=1),
)
SHIFTS = {
    "lamp_fade": {"brightness": -3.0, "softmax": 2.0},
    "shuffled": {"mass_suture": -4.0},
    "dust": {},
    "control": {},
}
"""What is drawn for a fault, in place of rendering it."""


class Course:
    """A folder with a protocol, a reference and a bank."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.protocol = folder, folder / "protocol.yaml"
        self.reference, self.bank = folder / "golden.json", folder / "bank"
        self.config = folder / "pitwatch.yaml"
        self.config.write_text(
            f"model: {{preprocessing: {{width_px: {SIDE_PX}, height_px: {SIDE_PX}}}}}\n"
            "ablation: {classes: [suture], fractions: [1.0], background_draws: 1}\n"
        )
        values = small(
            runs=2, populations=1, days=1, shifts=0, lot_min=14, patience_min=5
        ).model_dump(mode="json")
        self.protocol.write_text(yaml.safe_dump(values))
        model = load_model(SETTINGS.model, "cpu")
        self.bound = {
            "model_sha256": model.sha256,
            "layer": model.layer,
            "score": "margin",
            "width_px": model.preprocessing.width_px,
            "height_px": model.preprocessing.height_px,
        }
        save_reference(usual_reference(**self.bound), self.reference)
        protocol = load_protocol(self.protocol)
        bank = Bank(self.bank, protocol, Recorder(Line(SETTINGS, model, 60.0), protocol))
        self._fill(bank, bank.lots("golden"), {})
        for name, shift in SHIFTS.items():
            for trial in protocol.trials((name,)):
                self._fill(bank, bank.faults("golden", trial), shift)

    def _fill(self, bank: Bank, wanted: list[Wanted], shift: dict[str, float]) -> None:
        for one in wanted:
            about = bank.about(one)
            minutes = about["seconds"] / 60.0
            save_recording(recording(one.seed, minutes, shift, about), one.path)

    def run(self, *options: str, reference: Path | None = None, processes: int = 1) -> Any:
        command = ["score-alarms", "--config", str(self.config), "--processes", str(processes)]
        command += ["--protocol", str(self.protocol), "--bank", str(self.bank)]
        command += ["--reference", str(reference or self.reference)]
        command += ["--out", str(self.folder / "out")]
        return CliRunner().invoke(app, [*command, *options])


def test_too_few_lots_for_a_claim_are_said_with_how_many_are_missing() -> None:
    protocol = small(lots=12, runs=59, days=3000)
    with pytest.raises(ScoringError, match="12 of 40 lots, 28 more"):
        check_claim(protocol, trial=False)
    check_claim(protocol, trial=True)
    assert claim(protocol).startswith("A trial, which claims nothing")


def test_the_protocol_that_ships_claims() -> None:
    protocol = load_protocol()
    check_claim(protocol, trial=False)
    assert "28 of each variety" in claim(protocol)
    assert protocol.lots * protocol.lot_cups >= 20_000


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("score"))


@pytest.mark.long
def test_faults_are_scored_beside_the_softmax_tests(course: Course) -> None:
    faults = [word for name in SHIFTS for word in ("--fault", name)]
    result = course.run("--trial", *faults)
    assert result.exit_code == 0, result.output
    found = json.loads((course.folder / "out" / "score.json").read_text())
    rows = {row["fault"]: row for row in found["faults"]}
    assert rows["lamp_fade"]["detected"] == rows["lamp_fade"]["runs"] == 2
    assert rows["lamp_fade"]["first_cause"] == "image_quality"
    assert rows["lamp_fade"]["explanations_are"] == "later"
    assert rows["lamp_fade"]["missed_bars"] == []
    assert rows["shuffled"]["explanations_are"] == "earlier"
    assert rows["dust"]["detected"] == 0
    assert rows["dust"]["delay_min"] is None
    assert rows["dust"]["missed_bars"] == ["detected", "delay", "cause"]
    assert rows["control"]["missed_bars"] == []
    assert found["ordinary"]["days"] == pytest.approx(1.4), "whole lots"
    assert found["explained_share"] == pytest.approx(10 / 60)
    page = (course.folder / "out" / "score.md").read_text()
    assert "A trial, which claims nothing: 6 of 40 lots, 34 more" in page
    assert "Explanations do not beat the tests on lamp_fade middle" in page
    assert "16.7% of the fruit explained" in page
    assert "| dust |" in page
    assert "missed: detected, delay, cause" in page
    assert "score card of the alarms" in result.output


def test_less_than_a_claim_needs_is_refused_without_trial(course: Course) -> None:
    result = course.run()
    assert result.exit_code == 1
    assert "too few for a claim: 6 of 40 lots, 34 more" in result.output


def test_an_unknown_fault_is_refused(course: Course) -> None:
    result = course.run("--trial", "--fault", "dusk")
    assert result.exit_code == 1
    assert "unknown fault 'dusk'; did you mean dust" in result.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_sha256": "0" * 64}, "was made for model 000000000000"),
        ({"layer": "encoder1"}, "layer encoder1, not"),
        ({"width_px": 48, "height_px": 48}, "an input of 48 x 48 px"),
        ({"window_s": 30.0}, "was made for windows of 30 s, not 60"),
        ({"variety": "plum"}, "unknown variety 'plum'"),
    ],
)
def test_a_reference_of_something_else_is_refused(
    change: dict[str, object], words: str, course: Course, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    save_reference(usual_reference(**{**course.bound, **change}), path)
    result = course.run("--trial", reference=path)
    assert result.exit_code == 1
    assert words in result.output


def test_a_second_reference_of_a_variety_is_refused(course: Course) -> None:
    result = course.run("--trial", "--reference", str(course.reference))
    assert result.exit_code == 1
    assert "a second reference of golden" in result.output


def test_a_shortcut_that_was_asked_for_needs_its_weights(course: Course) -> None:
    result = course.run("--trial", "--fault", "shortcut")
    assert result.exit_code == 1
    assert "--shortcut trains them" in result.output


def test_a_bank_of_another_model_is_refused(course: Course) -> None:
    lot = course.bank / "golden" / "lot-000.npz"
    kept = lot.read_bytes()
    save_recording(recording(1, made={"model_sha256": "1" * 64}), lot)
    try:
        result = course.run("--trial", "--fault", "dust")
    finally:
        lot.write_bytes(kept)
    assert result.exit_code == 1
    assert "was made with another" in result.output
    assert "model_sha256" in result.output


def test_results_that_cannot_be_written_are_said(course: Course) -> None:
    (course.folder / "file").write_text("")
    result = course.run("--trial", "--fault", "dust", "--out", str(course.folder / "file"))
    assert result.exit_code == 1
    assert "cannot be written" in result.output
