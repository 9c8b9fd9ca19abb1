"""The course of a commissioning on a simulated line, with a small audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent import config
from agent.alarms.charts.budget import Budget
from agent.alarms.charts.reference import SenseCheck, load_reference
from agent.commissioning import audit, commission, conditional
from agent.commissioning.audit import Audit
from agent.commissioning.command import sense_of
from agent.commissioning.commission import Commissioning, Plan, Told, Turned
from agent.commissioning.errors import CommissioningError
from agent.commissioning.line import Passing, Wanted, lot_of, ordinary, ordinary_production
from agent.commissioning.samples import Collected, ExplanationSample, read_samples
from agent.commissioning.sense import Turn
from agent.config import Camera, Config
from agent.models.loaded import LoadedModel
from agent.models.loading import load_model
from agent.records import Frame, MachineInfo, MachineState
from agent.simulator.render import Look, Renderer
from tests.alarms.support import fruit

SIM = "sim:?rate=280&seed=5&variety=golden&empty=0&size=128"


QUICK = Config(ablation=config.Ablation(classes=("suture",), fractions=(1.0,), background_draws=1))


SMALL = config.Model(preprocessing=config.Preprocessing(width_px=96, height_px=96))
"""The shipped weights on a quarter of the pixels: what is tried here is the course."""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(SMALL, "cpu")


def line(model: LoadedModel, source: str, wanted: Wanted, count: int) -> list[commission.Passing]:
    found = []
    for one in ordinary_production(Config(), Camera(name="cam1", source=source), model, wanted):
        found.append(one)
        if len(found) == count:
            break
    return found


def test_the_simulator_runs_on_a_clock_of_its_own(model: LoadedModel) -> None:
    found = line(model, SIM, Wanted("golden", 1.0), 8)
    stamps = [one.reading.segmentation.captured_mono for one in found]
    assert np.diff(stamps) == pytest.approx([60 / 280] * 7)
    assert {one.lot for one in found} == {"lot-0/cam1"}


def test_the_simulator_is_told_in_yaml_too(model: LoadedModel) -> None:
    camera = Camera(name="cam1", source="sim:?empty=0&size=128", sim={"lot": 2})
    found = []
    for one in ordinary_production(Config(), camera, model, Wanted("golden", 1.0)):
        found.append(one.lot)
        if len(found) == 4:
            break
    assert found == ["lot-0/cam1", "lot-0/cam1", "lot-1/cam1", "lot-1/cam1"]


def test_a_run_that_goes_on_begins_where_it_ended(model: LoadedModel) -> None:
    whole = line(model, SIM, Wanted("golden", 60.0), 20)
    rest = line(model, SIM, Wanted("golden", 60.0, from_s=3.0), 5)
    later = [one for one in whole if one.reading.segmentation.captured_mono >= 3.0]
    assert [one.frame.truth["seed"] for one in rest[:4]] == [
        one.frame.truth["seed"] for one in later[:4]
    ]


def test_other_varieties_and_a_standing_machine_are_left_out() -> None:
    assert ordinary(MachineInfo(MachineState.RUNNING, variety="golden"), "golden")
    assert ordinary(MachineInfo(), "golden")
    assert not ordinary(MachineInfo(MachineState.RUNNING, variety="amber"), "golden")
    assert not ordinary(MachineInfo(MachineState.CHANGE_OVER, variety="golden"), "golden")


def test_where_the_machine_names_no_lot_time_makes_them() -> None:
    reading = fruit(125.0)
    assert lot_of(reading, 60.0) == "2/cam1"
    seen = replace(reading.segmentation, machine=MachineInfo(lot="L7"))
    assert lot_of(replace(reading, segmentation=seen), 60.0) == "L7/cam1"


def folder_of(tmp_path: Path, count: int) -> Path:
    renderer, folder = Renderer(128), tmp_path / "pictures"
    folder.mkdir()
    for number in range(count):
        image = renderer.fruit(9_000_100 + number, Look("golden", 0.0)).image
        assert cv2.imwrite(str(folder / f"{number:04}.png"), image)
    return folder


@pytest.mark.long
def test_a_recording_ends_and_says_how_much_is_missing(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commission, "FRUIT", 2)
    monkeypatch.setattr(commission, "AUDIT_EVERY", 2)
    monkeypatch.setattr(audit, "SHUFFLED", 0)
    monkeypatch.setattr(audit, "judged", lambda _cases: ())
    camera = Camera(name="cam1", source=str(folder_of(tmp_path, 12)))
    plan = Plan("golden", tmp_path / "golden.json")
    told: list[int] = []
    run = Commissioning(QUICK, camera, model, plan, Told(audited=told.append))
    with pytest.raises(CommissioningError, match=r"1 lots with 0 windows .* 9 lots"):
        run.run()
    assert told == [1, 2]
    assert not plan.out.exists()
    header = run._header
    kept = read_samples(plan.collected, header)
    assert len(kept.fruit) == 12
    assert len(kept.explanations) == 1
    assert kept.explanations[0].deltas.size == 64
    assert set(kept.explanations[0].peaks) == {"suture"}


def test_a_source_without_fruit_is_no_commissioning(model: LoadedModel, tmp_path: Path) -> None:
    plan = Plan("amber", tmp_path / "amber.json")
    short = Camera(name="cam1", source=str(folder_of(tmp_path, 3)))
    with pytest.raises(CommissioningError, match="3 fruit of amber before the source ended"):
        Commissioning(Config(), short, model, plan).run()


@pytest.mark.parametrize("source", ["sim:?rat=280", "/nowhere/at/all", "what://x"])
def test_a_source_that_is_none_is_named(model: LoadedModel, tmp_path: Path, source: str) -> None:
    plan = Plan("golden", tmp_path / "golden.json")
    with pytest.raises(CommissioningError, match="cam1"):
        Commissioning(Config(), Camera(name="cam1", source=source), model, plan).run()


@pytest.mark.long
def test_an_input_blind_model_is_refused_with_reasons_and_pictures(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from agent.commissioning.command import _told
    from agent.models.loading import load_model as load
    from agent.training.faulty import blind
    from agent.training.ship import ship

    monkeypatch.setattr(commission, "FRUIT", 3)
    monkeypatch.setattr(audit, "SHUFFLED", 0)
    card = model.card.model_copy(update={"name": "blind", "sha256": None})
    ship(blind(model.module.state_dict(), 0), card, tmp_path / "blind.safetensors")
    faulty = load(SMALL.model_copy(update={"path": tmp_path / "blind.safetensors"}), "cpu")
    plan = Plan("golden", tmp_path / "golden.json")
    with Progress(disable=True) as progress:
        told = _told(progress, plan, Console(quiet=True))
        run = Commissioning(QUICK, Camera(name="cam1", source=SIM), faulty, plan, told)
        with pytest.raises(CommissioningError) as refused:
            run.run()
    assert "overlap of the foreground" in str(refused.value)
    assert "blurring the suture" in str(refused.value)
    picture = cv2.imread(str(plan.pictures))
    assert picture is not None
    assert not plan.out.exists()


def made_up(lots: int, minutes: int) -> Iterator[Passing]:
    """Thirty fruit a minute, every tenth cup empty, in lots that the machine names."""
    rng = np.random.default_rng(1)
    frame = Frame("cam1", "f1", 1, 0, 0.0, np.zeros((8, 8, 3), np.uint8))
    for i in range(lots * minutes * 30):
        reading = fruit(i * 2.0, empty=i % 10 == 9, machine=MachineState.RUNNING)
        bright = 100.0 + float(rng.normal(0, 5))
        seen = replace(reading.segmentation, brightness=bright, warmth=0.1 * bright)
        yield Passing(frame, replace(reading, segmentation=seen), f"{i // (minutes * 30)}/cam1")


def test_a_run_that_has_begun_to_collect_meanwhile_is_not_overwritten(
    tmp_path: Path, model: LoadedModel
) -> None:
    plan = Plan("golden", tmp_path / "golden.json")
    run = Commissioning(QUICK, Camera(name="cam1", source=SIM), model, plan)
    plan.collected.write_text("{}\n{}\n")
    with pytest.raises(CommissioningError, match="holds 1 samples"):
        run._collect(run._engine(), made_up(1, 1), Collected())
    assert plan.collected.read_text() == "{}\n{}\n"


@pytest.mark.long
@pytest.mark.parametrize(("asked", "minutes", "whole"), [(2, 16, 12), (14, 16, 14)])
def test_lots_that_make_too_few_windows_are_gone_on_from(
    tmp_path: Path,
    model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    asked: int,
    minutes: int,
    whole: int,
) -> None:
    """The budget asks for 171 windows; a lot of 16 minutes makes 15."""
    nothing = ExplanationSample("", 0.0, {}, np.zeros(0), {})
    monkeypatch.setattr(commission, "_explanation_sample", lambda _engine, _one: nothing)
    run = Commissioning(
        QUICK,
        Camera(name="cam1", source=SIM),
        model,
        Plan("golden", tmp_path / "golden.json", lots=asked),
    )
    found = run._collect(run._engine(), made_up(30, minutes), Collected())
    assert len(found.lots) == whole + 1  # and the first fruit of the next
    assert len(found.cups) == whole * minutes * 3
    assert found.cups[0].chromaticity == pytest.approx(0.1)


def test_a_reference_is_written_whose_limits_keep_the_budget(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = ExplanationSample("", 0.0, {}, np.zeros(0), {})
    monkeypatch.setattr(commission, "_explanation_sample", lambda _engine, _one: nothing)
    monkeypatch.setattr(commission, "ordinary_production", lambda *_: made_up(13, 16))
    monkeypatch.setattr(commission, "audit", lambda *_: Audit((), ()))
    monkeypatch.setattr(commission, "FRUIT", 2)
    monkeypatch.setattr(conditional, "SAMPLES", 8)
    # Two signals keep it by the upper bound of their spread, unless they have no margin.
    monkeypatch.setattr(Commissioning, "budget", Budget(margin=0.1))
    sense = SenseCheck(lane="cam1", by_deg=30.0, turned_deg=28.4, mirrored=False)
    monkeypatch.setattr(commission, "check_files", lambda *_: sense)
    turned = Turned(Path("before.png"), Path("after.png"), Turn(30.0))
    limited: list[tuple[int, int]] = []
    run = Commissioning(
        QUICK,
        Camera(name="cam1", source=SIM),
        model,
        Plan("golden", tmp_path / "golden.json", turned=turned),
        Told(limited=lambda done, of: limited.append((done, of))),
    )
    written = run.run()
    reference = load_reference(run.plan.out)
    assert reference == written
    assert reference.sense == sense
    assert "turned by about 30 degrees, its reading by 28" in sense_of(reference)
    assert "not checked" in sense_of(reference.model_copy(update={"sense": None}))
    count = len(reference.signals)
    assert limited == [(done, count) for done in range(1, count + 1)]
    asked = run.budget.arl(sum(len(one.sides) for one in reference.signals))
    assert reference.run_length > asked
    assert reference.conditional_days is not None
    assert reference.conditional_days[0] >= run.budget.days
    assert "times the run length of its share" in reference.claim
    assert "8 samples of the fitted model" in reference.claim
    assert not run.plan.collected.exists()
