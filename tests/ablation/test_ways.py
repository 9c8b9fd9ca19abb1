"""Whatever a faster way does, the explanation comes: by the next, and the reason is named."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from agent import config
from agent.ablation.core.errors import AblationError, LateError, NullControlError
from agent.ablation.engine import Engine, Tuning
from agent.ablation.rows import ops
from agent.ablation.rows.program import Program
from agent.ablation.rows.shared import Shared
from agent.ablation.run import whole_model
from agent.ablation.run.job import Job
from agent.ablation.split import split, trace
from agent.ablation.split.replay import ReplaySplit
from agent.ablation.split.split import FxSplit
from agent.ablation.studies.studies import Studies
from agent.records import Rung
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, only_way, picture, seeded

SIZE = 32
CLASSES = config.Ablation(classes=("suture",))


class Small(nn.Module):
    """Two stages, so that every way has something to do."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        return self.head(torch.relu(self.middle(self.relu(self.features(x)))))


@pytest.fixture(scope="module")
def expected():
    """The deltas by plain re-runs with a hook."""
    engine = engine_of()
    engine._setup, engine._slower = engine._slower[-1], ()
    assert engine.path == "hook"
    return explained(engine).classes[0].deltas


def engine_of(module=None, layer="relu"):
    torch.set_num_threads(1)
    model = loaded(seeded(module or Small()), layer, SIZE)
    return Engine(model, CLASSES, tuning=Tuning(batch=4))


def explained(engine, **options):
    return engine.explain(picture(SIZE), region=bar_and_disc(SIZE), **options)


def boom(*_, **__):
    raise ZeroDivisionError("planted")


def reasons(found):
    return dict(line.split(": ", 1) for line in found.ways_left)


# --- faults while an engine is made ---------------------------------------------------------------

NEVER = {"input-rows"}  # the whole model may have no rows, or slower ones: that is no fault


@pytest.mark.parametrize("fault", [ZeroDivisionError, NameError, StopIteration, RecursionError])
def test_whatever_a_tracer_raises_leads_to_the_next_way(fault, monkeypatch, expected):
    def raises(*_):
        raise fault("planted")

    for name in ("cut", "cut_exported"):
        monkeypatch.setattr(trace, name, raises)
    found = explained(engine_of())
    assert found.path == "replay"
    assert reasons(found)["fx"] == reasons(found)["export"] == f"{fault.__name__}: planted"
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("where", "name", "path", "left"),
    [
        (ops, "operations", "fx", {"rows", "input-rows"}),
        (Shared, "values", "fx", {"rows", "input-rows"}),
        (Program, "run_channels", "fx", {"rows"}),
        (split, "why_mixed", "replay", {"fx", "export"}),
        (whole_model, "whole_model_operations", "fx+rows", {"input-rows"}),
        (Program, "run_maps", "fx", {"rows", "input-rows"}),
    ],
)
def test_a_fault_of_a_fast_way_costs_only_that_way(
    where, name, path, left, monkeypatch, caplog, expected
):
    monkeypatch.setattr(trace, "cut_exported", boom)  # takes seconds
    monkeypatch.setattr(where, name, boom)
    found = explained(engine_of())
    assert found.path == path
    assert set(reasons(found)) | NEVER == left | NEVER
    assert all(reasons(found)[way] == "ZeroDivisionError: planted" for way in left)
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)
    told = [r for r in caplog.records if getattr(r, "fields", {}).get("way") in left]
    assert len(told) == len(left), "each is said once"
    assert all(r.exc_info and r.exc_info[0] is ZeroDivisionError for r in told)


def test_with_every_fast_way_at_fault_the_model_is_re_run_with_a_hook(monkeypatch, expected):
    for where, name in ((trace, "cut"), (trace, "cut_exported"), (split, "ReplaySplit")):
        monkeypatch.setattr(where, name, boom)
    monkeypatch.setattr("agent.models.fusing.fold_batchnorm", boom)
    monkeypatch.setattr("agent.ablation.run.whole_model.fold_batchnorm", boom)
    found = explained(engine_of())
    assert found.path == "hook"
    assert {"fx", "export", "replay"} <= set(reasons(found))
    np.testing.assert_array_equal(found.classes[0].deltas, expected)


class MadeInForward(OneByOne):
    def forward(self, x):
        return self.head(nn.Softmax2d()(nn.ReLU()(self.features(x))))


class EmptySkip(OneByOne):
    """A concatenation of which a part has no channel."""

    def forward(self, x):
        return self.head(torch.cat((self.relu(self.features(x)), x[:, :0], x.flip(1)[:, 3:]), 1))


def test_a_network_that_makes_modules_in_its_forward_is_explained(monkeypatch):
    monkeypatch.setattr(trace, "cut_exported", boom)  # follows it, but takes seconds
    engine = engine_of(MadeInForward(), "features")
    found = explained(engine)
    assert found.path == "replay"
    assert "NameError: module is not installed as a submodule" in reasons(found)["fx"]
    assert np.abs(found.classes[0].deltas).max() > 0


def test_a_skip_without_channels_is_explained_as_if_it_were_not_there():
    found, plain = explained(engine_of(EmptySkip())), explained(engine_of(OneByOne()))
    np.testing.assert_allclose(found.classes[0].deltas, plain.classes[0].deltas, atol=1e-6)


class Keeps(Small):
    """Keeps maps and counts to look at, as many networks do."""

    def __init__(self):
        super().__init__()
        self.seen, self.calls, self.maps = [], 0, {}

    def forward(self, x):
        self.calls += 1
        self.last = self.features(x)
        self.seen.append(self.last)
        self.maps["features"] = self.last
        return self.head(torch.relu(self.middle(self.relu(self.last))))


def test_a_tracer_leaves_nothing_on_a_network_that_keeps_what_it_saw():
    module = Keeps().eval()
    trace.cut(module, "relu", None)
    assert (module.seen, module.calls, module.maps) == ([], 0, {})
    assert not hasattr(module, "last")
    found = explained(engine_of(module))
    assert found.path == "fx+rows"
    assert all(isinstance(one, torch.Tensor) for one in (*module.seen, module.last))


# --- faults that come later -----------------------------------------------------------------------


def after(calls, right):
    """``right``, which fails after so many calls."""
    left = iter(range(calls))

    def run(*args, **named):
        if next(left, None) is None:
            raise ZeroDivisionError("planted")
        return right(*args, **named)

    return run


@pytest.mark.parametrize(
    ("where", "names", "calls", "path", "left"),
    [
        (Program, ("run_channels",), 0, "fx", ["rows"]),
        (Program, ("run_channels",), 2, "fx", ["rows"]),
        (Shared, ("values",), 3, "fx", ["rows"]),
        (FxSplit, ("suffix", "prefix"), 2, "hook", ["rows", "fx"]),
    ],
)
def test_a_way_that_fails_at_a_later_picture_is_left_then_and_for_good(
    where, names, path, left, calls, monkeypatch, caplog, expected
):
    engine = engine_of()
    assert engine.path == "fx+rows"
    if where is FxSplit:  # rows need its first half alone
        monkeypatch.setattr(Program, "run_channels", boom)
    for name in names:
        monkeypatch.setattr(where, name, after(calls, getattr(where, name)))
    for _ in range(3):
        found = explained(engine)
        np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)
    assert found.path == path
    said = [r.fields for r in caplog.records if r.msg == "ablation_way_left"]
    named = [one["way"] for one in said if one["way"] in left]
    assert named == left
    assert reasons(found)[left[0]] == "ZeroDivisionError: planted"


def test_a_way_whose_numbers_become_wrong_is_left_because_of_its_control(monkeypatch, expected):
    engine = engine_of()
    explained(engine)
    right = Program.run_channels
    monkeypatch.setattr(Program, "run_channels", lambda *args: right(*args) + 0.5)
    found = explained(engine)
    assert found.path == "fx"
    assert reasons(found)["rows"].startswith("null control failed on the logits")
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


def test_a_replay_that_fails_later_is_left_for_hooks(monkeypatch, expected):
    for name in ("cut", "cut_exported"):
        monkeypatch.setattr(trace, name, boom)
    engine = engine_of()
    explained(engine)
    assert engine.path == "replay"
    monkeypatch.setattr(ReplaySplit, "suffix", boom)
    found = explained(engine)
    assert found.path == "hook"
    assert reasons(found)["replay"] == "ZeroDivisionError: planted"
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


@pytest.mark.parametrize("left", [["input-rows"], ["input-rows", "folded"]])
def test_the_input_is_occluded_by_the_plain_model_where_faster_forms_fail(left, monkeypatch):
    engine = engine_of()
    before = explained(engine).classes[0]
    assert engine._whole_model.operations is not None
    monkeypatch.setattr(Program, "run_maps", boom)
    if "folded" in left:
        engine._whole_model._folded.module.forward = boom
    for _ in range(2):
        found = explained(engine)
        for name in ("foreground", "background"):
            name = f"input_sensitivity_{name}"
            np.testing.assert_allclose(getattr(found.classes[0], name), getattr(before, name), 1e-4)
    assert list(reasons(found))[: len(left)] == left


def test_an_error_of_the_plain_model_itself_is_raised_and_no_way_is_left(monkeypatch):
    engine = engine_of()
    monkeypatch.setattr(Job, "run", boom)
    before = engine.ways_left
    with pytest.raises(ZeroDivisionError):
        explained(engine)
    assert (engine.path, engine.ways_left) == ("fx+rows", before)


@pytest.mark.parametrize(
    "error", [LateError("late"), torch.OutOfMemoryError("no"), MemoryError("no")]
)
def test_no_other_way_is_tried_when_the_time_is_up_or_the_memory_is_full(error):
    engine, tried = engine_of(), []

    def progress(done, total):
        tried.append(engine._setup.path)
        raise error

    with pytest.raises(type(error)):
        explained(engine, progress=progress)
    assert len(tried) == 1
    assert engine.path == "fx+rows"


def test_an_engine_with_no_other_way_says_what_its_control_found(monkeypatch):
    engine = only_way(engine_of())
    right = Program.run_channels
    monkeypatch.setattr(Program, "run_channels", lambda *args: right(*args) + 0.5)
    with pytest.raises(NullControlError):
        explained(engine)


# --- what has no gradient, and studies ------------------------------------------------------------


class Detached(Small):
    def forward(self, x):
        return self.head(torch.relu(self.middle(self.relu(self.features(x))).detach()))


class Infinite(Small):
    """The slope of a root at nothing."""

    def forward(self, x):
        y = self.relu(self.features(x))
        return self.head(torch.relu(self.middle(y))) + y[:, :1].mul(0).sqrt()


@pytest.mark.parametrize("network", [Detached, Infinite])
def test_a_model_without_a_gradient_is_explained_where_channels_would_be_estimated(
    network, expected
):
    found = explained(engine_of(network()), rung=Rung.COARSE, deadline_s=0.0)
    assert "gradient" in reasons(found)["estimate"]
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


def test_a_fault_in_the_estimate_costs_the_explanation_nothing(monkeypatch, expected):
    monkeypatch.setattr("agent.ablation.run.estimate.slopes", boom)
    found = explained(engine_of(), rung=Rung.COARSE, deadline_s=0.0)
    assert reasons(found)["estimate"] == "ZeroDivisionError: planted"
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)


def test_a_study_that_fails_is_left_out_and_costs_the_explanation_nothing(
    caplog, monkeypatch, expected
):
    monkeypatch.setattr("agent.ablation.run.estimate.slopes", boom)
    found = explained(engine_of(), studies=Studies(hires=True, block_cells=8))
    assert "hires_map" in found.left_out
    assert found.study("suture").refused == {"hires_map": "ZeroDivisionError: planted"}
    assert "spatial_agreement" not in found.left_out
    np.testing.assert_allclose(found.classes[0].deltas, expected, atol=1e-5)
    (line,) = [r for r in caplog.records if r.msg == "ablation_study_failed"]
    assert (line.levelno, line.fields["study"]) == (logging.WARNING, "hires_map")
    assert line.exc_info


def test_a_study_that_cannot_be_had_is_refused():
    with pytest.raises(AblationError, match="do not fit a layer"):
        explained(engine_of(), studies=Studies(block_cells=99))


def test_a_model_that_fails_on_larger_batches_gets_smaller_ones(monkeypatch):
    right = FxSplit.suffix

    def few(self, batch, prepared):
        if len(batch) > 4:
            raise RuntimeError("no more than four")
        return right(self, batch, prepared)

    monkeypatch.setattr(FxSplit, "suffix", few)
    model = loaded(seeded(Small()), "relu", SIZE)
    engine = Engine(model, CLASSES, tuning=Tuning(rows=False, clock=lambda: 0.0))
    assert engine._setup.batch <= 4
    assert explained(engine).path == "fx"
