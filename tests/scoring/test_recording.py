"""Lots through the real pipeline on a small picture: what is planted, kept, and gone on with."""

from __future__ import annotations

import errno
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from agent import config
from agent.alarms.signals.extract import of_fruit
from agent.commissioning.line import Passing
from agent.config import Config
from agent.models.loading import load_model
from agent.records import SamplingClass
from agent.scoring.bank import Bank
from agent.scoring.errors import ScoringError
from agent.scoring.planting import Line
from agent.scoring.protocol import Protocol, Trial
from agent.scoring.recording import (
    ARRAYS,
    CLASSES,
    FRUIT_SIGNALS,
    Recorder,
    Recording,
    load_recording,
    save_recording,
)
from agent.scoring.softmax import SoftmaxTap
from agent.training.faulty import MARK_BGR
from tests.scoring.support import small

QUICK = Config(
    model=config.Model(preprocessing=config.Preprocessing(width_px=96, height_px=96)),
    ablation=config.Ablation(classes=("suture",), fractions=(1.0,), background_draws=1),
)
CUPS = 16


@pytest.fixture(scope="module")
def line() -> Line:
    return Line(QUICK, load_model(QUICK.model, "cpu"), rate_per_min=60.0, size_px=128)


@pytest.fixture(scope="module")
def protocol() -> Protocol:
    return small(rate_per_min=60.0, lots=2, baseline_lots=1, lot_min=CUPS / 60, explanation_s=2.5)


@pytest.fixture(scope="module")
def recorder(line: Line, protocol: Protocol) -> Recorder:
    return Recorder(line, protocol)


@pytest.fixture(scope="module")
def lot(recorder: Recorder) -> Recording:
    return recorder.record("golden", 7000, CUPS)


def trial_of(protocol: Protocol, name: str) -> Trial:
    return protocol.trials((name,))[-1]


def passing(line: Line, trial: Trial | None, count: int = 4) -> list[Passing]:
    return list(islice(line.passing("golden", 7000, trial), count))


# --- planting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["untrained", "shuffled", "noisy", "blind"])
def test_a_faulty_model_answers_otherwise_under_the_healthy_ones_hash(
    name: str, line: Line, protocol: Protocol
) -> None:
    before = {key: value.clone() for key, value in line.model.module.state_dict().items()}
    planted = line.under(trial_of(protocol, name))
    assert planted.sha256 == line.model.sha256
    assert planted.name == line.model.name
    x = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        assert not torch.equal(planted.module(x), line.model.module(x))
    after = line.model.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_a_fault_of_the_camera_leaves_the_model_alone(line: Line, protocol: Protocol) -> None:
    assert line.under(trial_of(protocol, "black")) is line.model


def test_a_fault_of_the_camera_is_in_its_pictures(line: Line, protocol: Protocol) -> None:
    assert all(not one.frame.image.any() for one in passing(line, trial_of(protocol, "black")))
    assert all(one.frame.image.any() for one in passing(line, None))


def test_a_strange_variety_is_in_the_cups(line: Line, protocol: Protocol) -> None:
    found = passing(line, trial_of(protocol, "unknown_variety"))
    assert {one.frame.truth["variety"] for one in found if not one.frame.truth["empty"]} == {
        "unknown"
    }


def test_a_shortcut_comes_with_its_marks(line: Line, protocol: Protocol) -> None:
    taught = replace(line, shortcut=line.model.module.state_dict())
    marked = passing(taught, trial_of(protocol, "shortcut"))
    for one, plain in zip(marked, passing(line, None), strict=True):
        changed = (one.frame.image != plain.frame.image).any(2)
        assert changed.any() == (one.frame.truth["content"] == "fruit")
        if changed.any():
            assert (one.frame.image == np.array(MARK_BGR, np.uint8)).all(2).any()


def test_a_shortcut_without_weights_says_where_they_come_from(
    line: Line, protocol: Protocol
) -> None:
    with pytest.raises(ScoringError, match="--shortcut trains them"):
        line.under(trial_of(protocol, "shortcut"))


def test_weights_of_another_network_cannot_be_planted(line: Line, protocol: Protocol) -> None:
    with pytest.raises(ScoringError, match="shortcut cannot be planted"):
        replace(line, shortcut={"a": torch.zeros(1)}).under(trial_of(protocol, "shortcut"))


# --- recording -----------------------------------------------------------------------------------


def test_a_recording_holds_what_the_stages_said(lot: Recording, line: Line) -> None:
    assert len(lot.mono) == CUPS
    assert np.diff(lot.mono) == pytest.approx(1.0)
    for index, one in enumerate(passing(line, None)):
        values = of_fruit(one.reading)
        assert lot.values[index] == pytest.approx(
            np.array([values[name] for name in FRUIT_SIGNALS]), rel=1e-5, nan_ok=True
        )


def test_explanations_are_as_rare_as_the_sampling_says(lot: Recording) -> None:
    # Each takes 2.5 s; two begin at least 3 s apart, half a period; no picture is older than 3 s.
    begun = np.sort(lot.done) - 2.5
    assert (np.diff(begun) >= 3.0 - 1e-9).all()
    waited = lot.done - 2.5 - lot.mono[lot.fruit]
    assert ((waited >= -1e-9) & (waited <= 3.0)).all()
    assert 3 <= len(begun) <= 6
    # On so small a picture the model is unsure of most fruit; of the others one is due at times.
    confidence, margin = (
        lot.values[lot.fruit, FRUIT_SIGNALS.index(name)] for name in ("confidence", "suture_margin")
    )
    sampling = QUICK.sampling
    sure = (confidence >= sampling.uncertain_confidence) & (margin >= sampling.uncertain_margin)
    uncertain, periodic = (
        CLASSES.index(name) for name in (SamplingClass.UNCERTAIN, SamplingClass.PERIODIC)
    )
    assert lot.sampled.tolist() == np.where(sure, periodic, uncertain).tolist()
    assert not sure.all()
    assert np.isfinite(lot.explained[lot.status == 0]).any(1).all()
    assert np.abs(lot.deltas[lot.status == 0]).sum(1).all()


def test_softmax_outputs_are_those_of_the_network(lot: Recording, line: Line) -> None:
    confidence, entropy, *shares = lot.softmax.T
    assert len(shares) == len(line.model.classes)
    assert sum(shares) == pytest.approx(1.0, abs=1e-4)
    assert entropy == pytest.approx(
        lot.values[:, FRUIT_SIGNALS.index("entropy")], rel=1e-3, abs=1e-4
    )
    assert (confidence > 1 / 3).all()
    assert (confidence <= 1).all()


def test_a_picture_that_the_network_was_not_shown_has_no_outputs(line: Line) -> None:
    tap = SoftmaxTap()
    tap.prepare(line.model)
    assert np.isnan(tap.take(None)).all()


def test_the_same_seed_is_the_same_recording(lot: Recording, recorder: Recorder) -> None:
    again = recorder.record("golden", 7000, CUPS)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(lot, name), getattr(again, name))


# --- files ---------------------------------------------------------------------------------------


def test_a_recording_comes_back_from_its_file(lot: Recording, tmp_path: Path) -> None:
    save_recording(lot, tmp_path / "lot.npz")
    back = load_recording(tmp_path / "lot.npz", lot.about)
    assert back.about == lot.about
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(lot, name), getattr(back, name))


def test_a_recording_of_another_model_is_refused(lot: Recording, tmp_path: Path) -> None:
    save_recording(lot, tmp_path / "lot.npz")
    with pytest.raises(ScoringError, match=r"another model_sha256 [0-9a-f]{64}, not 0000"):
        load_recording(tmp_path / "lot.npz", {**lot.about, "model_sha256": "0000"})


@pytest.mark.parametrize("content", [b"", b"not a recording", None])
def test_a_damaged_file_is_named(content: bytes | None, lot: Recording, tmp_path: Path) -> None:
    path = tmp_path / "lot.npz"
    save_recording(lot, path)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    with pytest.raises(ScoringError, match=r"lot\.npz: is no recording .*remove it"):
        load_recording(path, lot.about)


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    lot: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(ScoringError, match=r"lot\.npz: cannot be written: .*No space left"):
        save_recording(lot, tmp_path / "lot.npz")
    assert list(tmp_path.iterdir()) == []


# --- the bank ------------------------------------------------------------------------------------


class Stub(Recorder):
    """Gives the same lot again and again, and counts."""

    def __init__(self, recorder: Recorder, lot: Recording, fails_after: int = 99) -> None:
        self._recorder, self._lot, self._fails_after = recorder, lot, fails_after
        self.made = 0

    def about(self, *args: object) -> dict[str, object]:  # type: ignore[override]
        return self._recorder.about(*args)  # type: ignore[arg-type]

    def record(self, variety: str, seed: int, cups: int, trial: object, told: object) -> Recording:  # type: ignore[override]
        if self.made == self._fails_after:
            raise KeyboardInterrupt
        self.made += 1
        return replace(self._lot, about=self.about(variety, seed, cups, trial))


def record_all(bank: Bank) -> None:
    for one in bank.lots("golden"):
        bank.record(one)


def test_an_interrupted_bank_goes_on_with_what_is_missing(
    tmp_path: Path, protocol: Protocol, recorder: Recorder, lot: Recording
) -> None:
    broken = Bank(tmp_path, protocol, Stub(recorder, lot, fails_after=1))
    with pytest.raises(KeyboardInterrupt):
        record_all(broken)
    with pytest.raises(ScoringError, match=r"1 of 2 recordings are missing \(golden, lot-001\)"):
        broken.read(broken.lots("golden"))
    stub = Stub(recorder, lot)
    bank = Bank(tmp_path, protocol, stub)
    record_all(bank)
    assert stub.made == 1
    first = protocol.seeds.bank
    seeds = [one.about["seed"] for one in bank.read(bank.lots("golden"))]
    assert seeds == [first, first + 1]


def test_a_bank_of_another_model_is_refused(
    tmp_path: Path, line: Line, protocol: Protocol, recorder: Recorder, lot: Recording
) -> None:
    bank = Bank(tmp_path, protocol, Stub(recorder, lot))
    record_all(bank)
    other = Recorder(replace(line, model=replace(line.model, sha256="f" * 64)), protocol)
    with pytest.raises(ScoringError, match="was made with another model_sha256"):
        Bank(tmp_path, protocol, other).read(bank.lots("golden"))


def test_lots_under_a_fault_have_files_and_seeds_of_their_own(
    tmp_path: Path, protocol: Protocol, recorder: Recorder
) -> None:
    bank = Bank(tmp_path, protocol, recorder)
    (fault,) = bank.faults("golden", trial_of(protocol, "black"))
    assert fault.path == tmp_path / "golden" / "black-1.0000-0.npz"
    assert fault.title == "golden, black at 1"
    assert fault.seed not in {one.seed for one in bank.lots("golden")}
