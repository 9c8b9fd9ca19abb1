from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.config import Config, Model
from agent.models.errors import ModelError
from agent.models.loading import load_model
from agent.pipeline.fit import fitted


def model(**changes: object) -> Any:
    facts = {"classes": ("background", "suture"), "layer": "encoder4.enc4relu2", "label": "m.pt"}
    return SimpleNamespace(**{**facts, **changes})


def config(**ablation: object) -> Config:
    return Config.model_validate({"ablation": ablation})


@pytest.mark.parametrize("foreground", [("suture",), ("suture", "stem"), ("suture", "pit", "rot")])
def test_every_foreground_class_is_explained_where_the_file_names_none(
    foreground: tuple[str, ...],
) -> None:
    found = fitted(config(), model(classes=("background", *foreground)))
    assert found.ablation.classes == foreground


def test_the_classes_that_the_file_names_are_explained_and_no_others() -> None:
    three = model(classes=("background", "suture", "stem"))
    assert fitted(config(classes=["stem"]), three).ablation.classes == ("stem",)


def test_a_class_that_the_file_names_and_the_model_lacks_is_refused() -> None:
    told = r"ablation.classes: .*'stem'.* there are background, suture"
    with pytest.raises(ModelError, match=told):
        fitted(config(classes=["suture", "stem"]), model())


def test_a_model_without_a_layer_is_refused_unless_nothing_is_explained() -> None:
    with pytest.raises(ModelError, match=r"model.layer"):
        fitted(config(), model(layer=None))
    off = config(workers={"count": 0})
    assert fitted(off, model(layer=None)).ablation.workers.count == 0


def test_without_workers_the_classes_told_are_still_those_of_the_model() -> None:
    other = model(classes=("background", "pit", "rot"), layer=None)
    assert fitted(config(workers={"count": 0}), other).ablation.classes == ("pit", "rot")
    with pytest.raises(ModelError, match=r"ablation.classes: .*'stem'"):
        fitted(config(workers={"count": 0}, classes=["stem"]), other)


def test_the_mean_baseline_needs_the_means_of_that_layer_in_the_card() -> None:
    for means in (None, {}, {"encoder1.enc1relu2": [0.1]}):
        with pytest.raises(ModelError, match=r"ablation.baseline: mean .* encoder4.enc4relu2"):
            fitted(config(baseline="mean"), model(card=SimpleNamespace(channel_means=means)))
    held = SimpleNamespace(channel_means={"encoder4.enc4relu2": [0.1]})
    assert fitted(config(baseline="mean"), model(card=held)).ablation.baseline == "mean"
    assert fitted(config(baseline="mean"), load_model(Model())).ablation.baseline == "mean"
