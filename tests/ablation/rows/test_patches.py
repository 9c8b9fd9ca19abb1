"""Occlusion of the input on the pairs that matter, against plain runs of occluded pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from agent.ablation.core.case import load_case, target
from agent.ablation.core.errors import LateError
from agent.ablation.core.focus import given
from agent.ablation.core.scores import score_named
from agent.ablation.rows import geometry
from agent.ablation.rows.patches import PatchProgram
from agent.ablation.run.fills import Fill
from agent.ablation.run.whole_model import WholeModel, whole_model_operations
from agent.ablation.split.trace import CutError
from agent.ablation.studies import patches
from agent.ablation.studies.patches import PatchSettings, patch_maps
from agent.config import Score
from agent.models.checks import probe_batch
from tests.ablation.networks import LooksEverywhere, bar_and_disc, loaded, picture, seeded, unet
from tests.ablation.rows.test_program import Mixed

SIZE = 64
BOXES = [(0, 0, 16, 16), (48, 48, 64, 64), (24, 8, 40, 24), (31, 33, 34, 60), (0, 0, 64, 64)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def compared(model, needs, boxes):
    """Largest difference to plain runs, over the largest logit, read on each of ``needs``."""
    x = probe_batch(model)[:1]
    instead = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(3))
    worst = 0.0
    with torch.no_grad():
        operations = whole_model_operations(model, x)
        plain = []
        for top, left, bottom, right in boxes:
            hidden = x.clone()
            hidden[0, :, top:bottom, left:right] = instead[:, top:bottom, left:right]
            plain.append(model.module(hidden)[0].flatten(1))
        for need in needs:
            index = torch.from_numpy(np.flatnonzero(need))
            found = PatchProgram(operations, x, need).run(boxes, instead)
            for logits, row in zip(plain, found, strict=True):
                expected = logits[:, index]
                worst = max(worst, float((row - expected).abs().max() / expected.abs().max()))
    return worst


@pytest.mark.parametrize(
    "need",
    [bar_and_disc(SIZE) > 0, np.eye(SIZE, dtype=bool), np.ones((SIZE, SIZE), bool)],
    ids=["bar and disc", "diagonal", "everything"],
)
def test_logits_under_a_patch_are_those_of_the_occluded_picture(need):
    assert compared(unet(), [need], BOXES) <= 5e-6


class Local(nn.Module):
    """A stride, a wide kernel, a norm that no convolution takes in, an unusual factor."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.down = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(2)
        self.wide = nn.Conv2d(8, 5, 5, padding=2, bias=False)
        self.up = nn.ConvTranspose2d(5, 4, 4, stride=4)
        self.head = nn.Conv2d(10, 3, 3, padding=1)

    def forward(self, x):
        a = nn.functional.relu(self.features(x))
        deep = torch.sigmoid(self.wide(self.pool(self.norm(torch.relu(self.down(a))))))
        return self.head(torch.cat((a, self.up(deep)), 1))


def test_other_networks_of_local_operations_are_right_as_well():
    model = loaded(seeded(Local()), "features", SIZE)
    assert compared(model, [bar_and_disc(SIZE) == 1], BOXES) <= 5e-6


def test_an_upsampling_that_no_convolution_takes_in_is_left_to_the_general_way():
    model = loaded(seeded(Mixed(nn.ReLU())), "features", SIZE)
    with pytest.raises(CutError, match="no convolution takes in"):
        compared(model, [bar_and_disc(SIZE) == 1], BOXES[:1])


def a_case(model, kind=Score.MARGIN):
    mask = np.ascontiguousarray(bar_and_disc(SIZE) == 1)
    with torch.no_grad():
        case = load_case(model, picture(SIZE), None, given(mask))
    return case, target(model, case, "suture", score_named(kind))


def mapped(model, case, wanted, settings):
    return mapped_by(WholeModel(model, case.x), case, wanted, settings)


def mapped_by(made, case, wanted, settings):
    with torch.no_grad():
        (found,) = patch_maps(made, case, wanted, settings, lambda: None)
    return found


def same_drops(model, case, wanted, settings):
    """With and without the Dice: read everywhere, or run only where a patch reaches M."""
    general = mapped(model, case, wanted, settings)
    found = mapped(model, case, wanted, replace(settings, dice=False))
    assert found.dice is None
    scale = float(np.nanmax(np.abs(general.drop)))
    rounding = np.finfo(np.float32).eps * float(case.logits.abs().max())
    np.testing.assert_allclose(found.drop, general.drop, rtol=0, atol=1e-5 * scale + rounding)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Score.MARGIN, Score.LOGIT_SUM])
@pytest.mark.parametrize("fill", [Fill.ZERO, Fill.BLUR])
def test_the_map_of_patches_is_that_of_the_general_way(kind, fill):
    model = unet()
    case, wanted = a_case(model, kind)
    same_drops(model, case, [wanted], PatchSettings(16, 8, fill))


def test_a_drop_in_dice_is_read_everywhere_also_where_no_dice_is_wanted(monkeypatch):
    model = unet()
    with torch.no_grad():
        case = load_case(model, picture(SIZE), None, None)
        wanted = target(model, case, "suture", score_named("dice_drop"))
    monkeypatch.setattr(patches, "patch_drops", lambda *_: pytest.fail("a Dice reads every pixel"))
    found = mapped(model, case, [wanted], PatchSettings(32, 32, dice=False))
    assert found.dice is None
    assert np.nanmax(np.abs(found.drop)) > 0


def test_a_model_that_looks_everywhere_at_once_is_left_to_the_general_way():
    model = loaded(seeded(LooksEverywhere()), "features", SIZE)
    case, wanted = a_case(model)
    same_drops(model, case, [wanted], PatchSettings(32, 16))


def test_an_upsampling_that_no_convolution_takes_in_still_has_its_drops():
    model = loaded(seeded(Mixed(nn.ReLU())), "features", SIZE)
    case, wanted = a_case(model)
    same_drops(model, case, [wanted], PatchSettings(32, 16))


def test_who_runs_out_of_time_between_two_batches_is_heard():
    model = unet()
    case, wanted = a_case(model)

    def late():
        raise LateError("late")

    with torch.no_grad(), pytest.raises(LateError):
        patch_maps(WholeModel(model, case.x), case, [wanted], PatchSettings(dice=False), late)


# --- faults planted in the pairs: a control must trip, the whole model is run instead -------------


def reason_with(monkeypatch, name, wrong, where=PatchProgram):
    """Why the pairs were left; the drops are right all the same."""
    model = unet()
    case, wanted = a_case(model)
    settings = PatchSettings(32, 32, dice=False)
    with torch.no_grad():
        made = WholeModel(model, case.x)
    expected = mapped_by(made, case, [wanted], settings)
    monkeypatch.setattr(where, name, wrong(getattr(where, name)))
    found = mapped_by(made, case, [wanted], settings)
    np.testing.assert_allclose(found.drop, expected.drop, atol=1e-5)
    assert not made.pairs
    (line,) = made.left.lines
    return line


def test_a_wrong_border_trips_the_null_control(monkeypatch):
    geometry.tables.clear()

    def clamped(right):
        return lambda *args: np.maximum(right(*args), 0)

    found = reason_with(monkeypatch, "conv_neighbours", clamped, geometry)
    assert found.startswith("patch-pairs: null control failed")


def test_a_reach_that_is_too_small_trips_the_spot_check(monkeypatch):
    """The rim of what a patch changes is left as it was: right for the null item alone."""

    def small(right):
        def reach(self, place, operation, before, boxes):
            found = right(self, place, operation, before, boxes)
            return found + np.array([4, 4, -4, -4]) if place == 5 else found

        return reach

    assert "patch-pairs: spot check failed" in reason_with(monkeypatch, "_reach", small)


def test_a_patch_in_the_wrong_place_trips_the_spot_check(monkeypatch):
    def moved(right):
        return lambda self, boxes, instead: right(
            self, [(t // 2, a // 2, b // 2, r // 2) for t, a, b, r in boxes], instead
        )

    assert "patch-pairs: spot check failed" in reason_with(monkeypatch, "run", moved)
