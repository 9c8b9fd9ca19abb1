from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.config import Config
from agent.models.errors import ModelError
from agent.pipeline.fit import fitted


def model(**changes: object) -> Any:
    facts = {"classes": ("background", "suture"), "layer": "encoder4.enc4relu2", "label": "m.pt"}
    return SimpleNamespace(**{**facts, **changes})


def config(**ablation: object) -> Config:
    return Config.model_validate({"ablation": ablation})


def test_a_two_class_network_is_explained_for_the_classes_that_it_has() -> None:
    assert fitted(config(), model()).ablation.classes == ("suture",)


def test_a_class_that_the_file_names_and_the_model_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match=r"ablation.classes: 'stem' .* background, suture"):
        fitted(config(classes=["suture", "stem"]), model())


def test_a_model_without_a_layer_is_refused_unless_nothing_is_explained() -> None:
    with pytest.raises(ModelError, match=r"model.layer"):
        fitted(config(), model(layer=None))
    off = config(workers={"count": 0})
    assert fitted(off, model(layer=None)) is off


def test_the_mean_baseline_is_refused_while_no_card_holds_the_means() -> None:
    with pytest.raises(ModelError, match=r"ablation.baseline: mean"):
        fitted(config(baseline="mean"), model())
