"""The process that tries a staged model, on the shipped network and one that differs a little."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from agent import config
from agent.ablation.pool.messages import ImageHeader
from agent.models.errors import ModelError
from agent.pipeline.model_swap.messages import Audit, Audited, Look, Refused, Taken, TrialArgs
from agent.pipeline.model_swap.tally import Answer
from agent.pipeline.model_swap.trial import Trial
from agent.simulator.render import Renderer
from tests.soak.promote import second_model

HEADER = ImageHeader(0, 0, 0, False, 0)


@pytest.fixture(scope="module")
def args(tmp_path_factory: pytest.TempPathFactory) -> TrialArgs:
    second = second_model(tmp_path_factory.mktemp("given"))
    return TrialArgs(
        own=config.Model(path=second),
        live=config.Model(),
        segmentation=config.Segmentation(),
        ablation=config.Ablation(),
        lanes={},
        plausible_from={},
        device="cpu",
        fruit=2,
    )


@pytest.fixture(scope="module")
def trial(args: TrialArgs) -> Trial:
    return Trial(args)


@pytest.mark.long
def test_it_says_what_it_has_loaded(trial: Trial) -> None:
    loaded = trial.loaded
    assert (loaded.name, loaded.classes) == ("second", ("background", "suture", "stem"))
    assert (loaded.width_px, loaded.height_px) == (192, 192)
    assert len(loaded.sha256) == 64


def test_it_compares_its_answer_with_the_live_models(trial: Trial) -> None:
    fruit = Renderer(256).fruit(3)
    size = (192, 192)
    look = Look("cam1", None, HEADER, bytes(192 * 192), size, Answer(True, 10.0), explain=False)
    seen = trial.look(look, fruit.image, None)
    assert seen.compared is not None, seen.reason
    assert seen.compared.dice["suture"] == 0.0, "the live model saw nothing"
    assert seen.compared.own.read
    assert math.isnan(seen.compared.sensitivity)
    assert seen.busy_s > 0


def test_a_picture_that_it_makes_nothing_of_costs_that_picture(trial: Trial) -> None:
    look = Look("cam1", None, HEADER, b"", (192, 192), Answer(True, 10.0), explain=False)
    seen = trial.look(look, Renderer(256).fruit(4).image, None)
    assert seen.compared is None
    assert seen.reason


def test_a_judgement_needs_all_its_fruit(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trial, "_judge", lambda _self, frames: len(frames))
    image = np.zeros((64, 64, 3), np.uint8)
    assert trial.audit(Audit("cam1", HEADER), image, None) == Taken(1)
    assert trial.audit(Audit("cam1", HEADER), image, None) == 2


def test_an_audit_that_fails_refuses_the_model(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_self: Trial, _frames: object) -> Audited:
        raise ModelError("it cannot be ablated")

    monkeypatch.setattr(Trial, "_judge", fails)
    image = np.zeros((64, 64, 3), np.uint8)
    trial.audit(Audit("cam1", HEADER), image, None)
    found = trial.audit(Audit("cam1", HEADER), image, None)
    assert found == Refused("the audit failed: it cannot be ablated")


@pytest.mark.parametrize("content", [b"", b"not a model", b"<html>"])
def test_a_file_that_is_no_model_is_refused_with_its_name(
    args: TrialArgs, tmp_path: Path, content: bytes
) -> None:
    from dataclasses import replace

    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.safetensors"):
        Trial(replace(args, own=config.Model(path=path)))
