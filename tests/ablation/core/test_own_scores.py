"""Functions of logits as scores: the built-in ones written by hand, and those that are none."""

import numpy as np
import pytest
import torch

from agent.ablation import Ablation, AblationError, Engine, Studies, Tuning, own_score
from agent.ablation.core.effects import view
from agent.ablation.core.own_scores import as_score
from agent.ablation.core.scores import MARGIN, SCORES, Target
from agent.ablation.core.tolerance import score_rounding
from agent.config import Head
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def close(found, expected):
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-6, atol=1e-9)


REGION = torch.from_numpy(bar_and_disc(16) == 1)


def margin_of_m(logits):
    """The margin of class 1 over the pixels that are given."""
    return (logits[:, 1] - torch.logsumexp(logits[:, [0, 2]], 1)).mean(1)


def margin_in_picture(logits):
    return margin_of_m(logits.flatten(2)[:, :, REGION.flatten()])


def count_of_class(logits):
    """Steps and no slope."""
    return (logits.argmax(1) == 1).flatten(1).double().mean(1)


def case_of(score, batch=3):
    logits = torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    prediction = logits[0].argmax(0) == 1
    return logits, Target("suture", 1, REGION, prediction, score, logits[0])


WAYS = [own_score(margin_in_picture), own_score(margin_of_m, reads="region")]


@pytest.mark.parametrize("score", WAYS, ids=["picture", "region"])
def test_the_margin_by_hand_is_the_margin(score):
    logits, mine = case_of(score)
    _, theirs = case_of(MARGIN)
    close(score.value(logits, mine), MARGIN.value(logits, theirs))
    close(score.drop(logits[0], logits, mine), MARGIN.drop(logits[0], logits, theirs))
    slope = logits.requires_grad_()
    close(score.smooth(slope, mine), MARGIN.smooth(slope, theirs))
    assert score.reads_all is (score is WAYS[0])


def test_a_score_of_the_picture_sees_the_plain_logits_outside_the_aperture():
    seen = []

    def first_row(logits):
        seen.append(logits.clone())
        return logits[:, 1, 0].mean(1)

    score = own_score(first_row)
    logits, target = case_of(score)
    aperture = torch.ones(16, 16, dtype=torch.bool)
    aperture[0, :8] = False
    inside = view(aperture, [target])
    found = score.value(inside.of(logits), inside.targets[0])
    expected = logits.double().clone()
    expected[:, :, ~aperture] = logits[0][:, ~aperture].double()
    close(seen[0], expected)
    close(found, expected[:, 1, 0].mean(1))


@pytest.mark.parametrize("score", WAYS, ids=["picture", "region"])
def test_the_rounding_allowed_is_about_that_of_the_same_score_built_in(score):
    logits, mine = case_of(score, 1)
    _, theirs = case_of(MARGIN, 1)
    own = score_rounding(Head.LOGITS, logits, mine)
    built_in = score_rounding(Head.LOGITS, logits, theirs)
    assert 0.3 * built_in <= own <= 4 * built_in


def test_the_rounding_of_steps_is_that_of_pixels_that_are_close():
    score = own_score(count_of_class, gradient=False)
    logits, target = case_of(score, 1)
    assert score_rounding(Head.LOGITS, logits, target) == 0.0
    logits[:, 1, 0, 0] = logits[:, [0, 2], 0, 0].amax() + 1e-6
    assert score_rounding(Head.LOGITS, logits, target) >= 1 / 256


def test_a_function_that_writes_to_its_logits_changes_nobody_elses():
    def vandal(logits):
        return logits.zero_().flatten(1).sum(1)

    for reads in ("picture", "region"):
        score = own_score(vandal, reads=reads)
        logits, target = case_of(score)
        before = logits.double()
        score.value(before, target)
        close(before, logits.double())


def broken(logits):
    raise ValueError("planted\nsecond line")


WRONG = {
    r"expected a tensor of shape \(2,\), one number an item, found \(\)": lambda z: z.mean(),
    r"expected a tensor of shape \(2,\).*found \(2, 3\)": lambda z: z.flatten(2).mean(2),
    r"expected a tensor of shape \(2,\).*found float": lambda z: float(z.mean()),
    r"expected a tensor of shape \(2,\).*found list": lambda z: [0.0] * len(z),
    "gives NaN or infinite": lambda z: z.flatten(1).sum(1) * float("nan"),
    "expected floating numbers, found torch.int64": lambda z: z.argmax(1).flatten(1).sum(1),
    "expected floating numbers, found torch.complex128": lambda z: z.flatten(1).sum(1) + 0j,
    r"expected numbers on cpu, found them on meta": lambda z: z.flatten(1).sum(1).to("meta"),
    r"raised ValueError: planted$": broken,
    r"an item's score changes with the items beside it": lambda z: (z - z.mean(0)).sum((1, 2, 3)),
    r"two calls with the same logits differ": lambda z: z.sum((1, 2, 3)) + torch.rand(len(z)),
}


@pytest.mark.parametrize(("words", "function"), WRONG.items(), ids=range(len(WRONG)))
def test_a_function_that_is_no_score_is_one_clear_error(words, function):
    score = own_score(function, "mine")
    logits, target = case_of(score, 1)
    with pytest.raises(AblationError, match=f"^score mine:? {words}"):
        score.check(logits, target)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: own_score("margin"), "a score is a function of logits, found str"),
        (lambda: own_score(margin_of_m, "a b"), "a name is 1 to 40 letters"),
        (lambda: own_score(margin_of_m, "dice_drop"), "the name of a built-in score"),
        (lambda: own_score(margin_of_m, reads="mask"), "there are: picture, region"),
        (lambda: own_score(margin_of_m, gradient=0), "gradient: expected True or False"),
        (lambda: as_score("foo"), "no score 'foo'; there are: margin, logit_sum, dice_drop"),
        (lambda: as_score(3), "no score 3; there are: margin"),
        (lambda: as_score(None), "no score None; there are: margin"),
    ],
)
def test_what_cannot_be_a_score_is_refused(call, words):
    with pytest.raises(AblationError, match=words):
        call()


def test_names_are_those_of_the_functions_where_they_have_one():
    assert own_score(margin_of_m).name == "margin_of_m"
    assert own_score(lambda z: z.sum((1, 2, 3))).name == "own"
    assert own_score(torch.nn.Flatten()).name == "Flatten"
    assert as_score("logit_sum") is SCORES["logit_sum"]


@pytest.fixture(scope="module")
def engine():
    model = loaded(seeded(OneByOne(), 1), "relu")
    return Engine(model, Ablation(classes=("suture",)), tuning=Tuning(batch=4))


def test_an_engine_explains_by_own_scores_beside_the_built_in_ones(engine):
    region = bar_and_disc(16)
    scores = ("margin", margin_in_picture, own_score(margin_of_m, reads="region"), "dice_drop")
    found = engine.explain(picture(16), region=region, scores=scores)
    names = [one.score for one in (*found.classes, *found.more)]
    assert names == ["margin", "margin_in_picture", "margin_of_m", "dice_drop"]
    expected = found.of("suture", "margin")
    for name in names[1:3]:
        mine = found.of("suture", name)
        np.testing.assert_allclose(mine.deltas, expected.deltas, rtol=1e-9)
        assert mine.y == pytest.approx(expected.y)
        assert abs(mine.y - mine.y_null) <= mine.null_tolerance
    for asked in (found.of, found.study):
        with pytest.raises(KeyError, match="no stem by margin; there are: suture by margin"):
            asked("stem")
    assert found.study("suture").patches is None


def test_estimates_take_the_slope_of_an_own_score_or_the_margins(engine):
    def detached(logits):
        return margin_of_m(logits.detach())

    options = {"region": bar_and_disc(16), "rung": "partial", "deadline_s": 0.0}
    mine = own_score(margin_of_m, reads="region")
    exact = engine.explain(picture(16), region=bar_and_disc(16)).classes[0]
    for score in (mine, own_score(detached, reads="region", gradient=False)):
        found = engine.explain(picture(16), scores=score, **options).classes[0]
        np.testing.assert_allclose(found.deltas, exact.deltas, rtol=1e-3, atol=1e-6)
    unknown = own_score(detached, reads="region")
    found = engine.explain(picture(16), scores=unknown, region=options["region"])
    assert found.classes[0].deltas == pytest.approx(exact.deltas), "nothing is estimated"
    with pytest.raises(AblationError, match="score detached: it gives no gradient"):
        engine.explain(picture(16), scores=unknown, **options)
    with pytest.raises(AblationError, match="score detached: it gives no gradient"):
        engine.explain(
            picture(16), scores=unknown, region=bar_and_disc(16), studies=Studies(hires=True)
        )


def test_a_score_of_numpy_is_one_where_it_is_declared_to_have_no_gradient(engine):
    def of_numpy(logits):
        return torch.from_numpy(logits.numpy()[:, 1].mean(1))

    options = {"region": bar_and_disc(16), "classes": "suture"}
    mine = engine.deltas(picture(16), scores=own_score(
        of_numpy, reads="region", gradient=False), **options)  # fmt: skip
    theirs = engine.deltas(picture(16), scores=own_score(
        lambda z: z[:, 1].mean(1), reads="region"), **options)  # fmt: skip
    np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-9)
    with pytest.raises(AblationError, match="score of_numpy raised RuntimeError: Can't call numpy"):
        engine.deltas(picture(16), scores=own_score(of_numpy, reads="region"), **options)


def test_the_controls_catch_an_own_score_that_is_random(engine):
    calls = []

    def drifting(logits):
        calls.append(1)
        later = len(calls) > 4  # steady while it is checked
        return logits.flatten(1).mean(1) * (1 + 0.1 * later * len(calls))

    with pytest.raises(AblationError, match="score drifting: two calls with the same logits"):
        engine.explain(picture(16), scores=drifting, region=bar_and_disc(16))


def test_a_score_that_fails_under_ablation_only_is_an_error_of_its_own(engine):
    def fragile(logits):
        whole = logits.flatten(1).sum(1)
        return torch.where(torch.arange(len(whole)) < 2, whole, torch.nan)

    with pytest.raises(AblationError, match="score fragile: gives NaN"):
        engine.explain(picture(16), scores=fragile, region=bar_and_disc(16))
    assert not engine.ways_left, "no way of running the network is blamed for it"


def test_an_error_of_a_callback_is_the_callers_own(engine):
    def stop(*_):
        raise KeyError("planted")

    options = {"region": bar_and_disc(16), "studies": Studies(block_cells=8)}
    for callback in ({"progress": stop}, {"tick": stop}):
        with pytest.raises(KeyError, match="planted"):
            engine.explain(picture(16), **options, **callback)
    assert not engine.ways_left
