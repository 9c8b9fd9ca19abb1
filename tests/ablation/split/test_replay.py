"""Models that no tracer can follow: what ended before the layer is not computed again."""

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.engine import Engine, Tuning
from agent.ablation.split import split
from agent.ablation.split.replay import ReplaySplit
from agent.models.checks import probe_batch
from tests.ablation.networks import bar_and_disc, loaded, picture, seeded


class Untraceable(nn.Module):
    """Two stages and a skip; its flow depends on the data, so neither tracer can follow it."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.features = nn.Conv2d(4, 6, 3, padding=1)
        self.shared = nn.Conv2d(6, 6, 1)
        self.head = nn.Conv2d(10, 3, 3, padding=1)

    def forward(self, x):
        early = self.stage(x)
        if float(early.sum()) < -1e9:
            return x
        late = torch.relu_(self.features(early))
        late = self.shared(late)
        return self.head(torch.cat((late, early), 1))


class Repeats(Untraceable):
    """One module works before the layer and after it."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv2d(4, 4, 1)
        self.features = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        early = self.shared(self.stage(x))
        if float(early.sum()) < -1e9:
            return x
        return self.head(torch.cat((self.shared(self.features(early)), early.add_(1.0)), 1))


class OneByOnePicture(Untraceable):
    """Calls its first stage once a picture of the batch, so that calls mean other things then."""

    def forward(self, x):
        early = torch.cat([self.stage(x[i : i + 1]) for i in range(len(x))])
        if float(early.sum()) < -1e9:
            return x
        return self.head(torch.cat((self.shared(self.features(early)), early), 1))


def deltas(model, **tuning):
    engine = Engine(model, config.Ablation(), tuning=Tuning(batch=4, **tuning))
    found = engine.explain(picture(16), region=bar_and_disc(16))
    return engine.path, found.classes[0].deltas


@pytest.mark.parametrize("network", [Untraceable, Repeats, OneByOnePicture])
def test_replayed_runs_give_the_numbers_of_whole_runs(network, monkeypatch):
    model = loaded(seeded(network()), "features")
    path, found = deltas(model)
    assert path == "replay"
    monkeypatch.setattr(split, "ReplaySplit", _refused)
    path, expected = deltas(model)
    assert path == "hook"
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _refused(_model, _layer):
    raise AblationError("not today")


def test_what_ended_before_the_layer_is_not_computed_again():
    model = loaded(seeded(Untraceable()), "features")
    way = ReplaySplit(model, "features")
    x = probe_batch(model)[:1]
    calls = []
    for name in ("stage", "stage.0", "features", "shared", "head"):
        part = model.module.get_submodule(name)
        right = part.forward

        def counted(*given, name=name, right=right):
            calls.append(name)
            return right(*given)

        part.forward = counted
    with torch.no_grad():
        prepared = way.prefix(x)
        assert calls == ["stage", "stage.0", "features", "shared", "head"]
        calls.clear()
        way.suffix(prepared.activation.expand(3, -1, -1, -1), prepared)
    assert calls == ["shared", "head"] * 3


def test_the_model_is_left_as_it_was_even_where_a_run_fails():
    model = loaded(seeded(Untraceable()), "features")
    way = ReplaySplit(model, "features")
    with torch.no_grad():
        prepared = way.prefix(probe_batch(model)[:1])
        with pytest.raises(RuntimeError):
            way.suffix(prepared.activation[:, :2], prepared)
    for part in model.module.modules():
        assert "forward" not in vars(part)
        assert not part._forward_hooks
        assert not part._forward_pre_hooks


def test_the_whole_model_is_no_layer_to_be_replayed():
    with pytest.raises(AblationError, match="no layer"):
        ReplaySplit(loaded(seeded(Untraceable()), "features"), "")
