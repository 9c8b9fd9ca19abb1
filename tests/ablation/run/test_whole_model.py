"""Changed pictures through the whole model: read where the score looks, equal to plain runs."""

import pytest
import torch

from agent.ablation.core.case import load_case, target
from agent.ablation.rows.conv import Conv
from agent.ablation.run import whole_model
from agent.ablation.run.whole_model import WholeModel
from agent.models.checks import probe_batch
from tests.ablation.networks import LooksEverywhere, bar_and_disc, loaded, picture, seeded, unet

SIZE = 64


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def prepared(model):
    with torch.no_grad():
        case = load_case(model, picture(SIZE), None, bar_and_disc(SIZE))
        return case, WholeModel(model, probe_batch(model)[:1]), [target(model, case, "suture")]


def changed(case, count=5):
    generator = torch.Generator().manual_seed(1)
    return case.x + 0.3 * torch.randn((count, *case.x.shape[1:]), generator=generator)


@pytest.mark.long
@pytest.mark.parametrize("count", [None, 5])
def test_what_is_read_is_what_plain_runs_give(count):
    model = unet(SIZE)
    case, made, targets = prepared(model)
    pictures, region = changed(case), targets[0].region
    with torch.no_grad():
        reader = made.reader(case, region, targets, count)
        found = reader.run(pictures)
        again = reader.run(pictures[3:4])
        expected = model.module(torch.cat((case.x, pictures)))[:, :, region]
    tolerance = 1e-5 * float(expected.abs().max())
    torch.testing.assert_close(found, expected[1:], rtol=0, atol=tolerance)
    torch.testing.assert_close(reader.base, expected[:1], rtol=0, atol=tolerance)
    torch.testing.assert_close(again, expected[4:5], rtol=0, atol=tolerance)


def test_rows_are_used_for_few_pixels_and_the_folded_model_for_many(monkeypatch):
    case, made, targets = prepared(unet(SIZE))
    programs = []
    right = whole_model.Program
    monkeypatch.setattr(
        whole_model, "Program", lambda *a, **k: programs.append(1) or right(*a, **k)
    )
    with torch.no_grad():
        made.reader(case, targets[0].region, targets).run(case.x)
        assert len(programs) == 1
        made.reader(case, torch.ones(SIZE, SIZE, dtype=torch.bool), targets).run(case.x)
    assert len(programs) == 1


def test_a_model_that_has_no_rows_is_run_whole(caplog):
    caplog.set_level("INFO")
    model = loaded(seeded(LooksEverywhere()), "features", SIZE)
    case, made, targets = prepared(model)
    pictures, region = changed(case), targets[0].region
    with torch.no_grad():
        found = made.reader(case, region, targets).run(pictures)
        expected = model.module(pictures)[:, :, region]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert "input_rows_unused" in caplog.text


@pytest.mark.long
def test_rows_that_trip_the_null_control_are_left_for_the_whole_model(monkeypatch):
    model = unet(SIZE)
    case, made, targets = prepared(model)
    right = Conv.step

    def shifted(self, place, layout):
        step = right(self, place, layout)
        return (lambda work: step(work) + 0.01) if place == 4 else step

    monkeypatch.setattr(Conv, "step", shifted)
    with torch.no_grad():
        found = made.reader(case, targets[0].region, targets).run(changed(case))
        expected = model.module(changed(case))[:, :, targets[0].region]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert made.operations is None
    assert made.left.lines[0].startswith("input-rows: null control failed on the logits")


def test_rows_that_differ_from_the_plain_model_are_not_used_at_all(monkeypatch, caplog):
    caplog.set_level("INFO")
    right = Conv.step

    def shifted(self, place, layout):
        step = right(self, place, layout)
        return lambda work: step(work) + 0.01

    monkeypatch.setattr(Conv, "step", shifted)
    model = unet(SIZE)
    case, made, targets = prepared(model)
    assert "input_rows_unused" in caplog.text
    with torch.no_grad():
        found = made.reader(case, targets[0].region, targets).run(case.x)
        expected = model.module(case.x)[:, :, targets[0].region]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
