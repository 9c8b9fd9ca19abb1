"""Tensors in and tensors out: own inputs, deltas alone, several pictures, several layers."""

import math
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from agent.ablation import (
    Ablation,
    AblationError,
    Engine,
    LayerEngines,
    Preprocessing,
    Tuning,
    channel_means,
    explainable,
    own_score,
)
from agent.models.checks import probe_batch
from agent.models.loaded import preprocess
from tests.ablation.networks import OneByOne, bar_and_disc, loaded, picture, seeded

SCORES = ("margin", "logit_sum", "dice_drop")
REGION = bar_and_disc(32)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 3, 3, padding=1),
    )  # fmt: skip
    return loaded(net, "1", 32)


@pytest.fixture(scope="module")
def made():
    """Engines by their path, each made by the first test that asks for it."""
    return {}


@pytest.fixture
def engine(model, made):
    return engine_of(model, made, "fx+rows")


@pytest.fixture(params=["fx+rows", "fx"])
def either(request, model, made):
    return engine_of(model, made, request.param)


def engine_of(model, made, path):
    if path not in made:
        tuning = Tuning(batch=8, rows=path == "fx+rows")
        made[path] = Engine(model, Ablation(), tuning=tuning)
    assert made[path].path == path
    return made[path]


def close(found, expected, digits=1e-5):
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=digits * np.abs(expected).max())


def multispectral(dtype=torch.float32):
    """Five channels in, three classes out, and one of its inputs."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(5, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU(),
        nn.Conv2d(4, 3, 1),
    )  # fmt: skip
    return net.to(dtype).eval(), torch.rand(2, 5, 12, 20, dtype=dtype)


def test_a_tensor_gives_the_numbers_of_the_picture_that_it_was_made_from(either):
    x = preprocess(either.model, picture(32))
    by_picture = either.explain(picture(32), region=REGION, scores=SCORES)
    for tensor in (x, x[None], x.clone().requires_grad_()):
        found = either.explain(tensor, region=REGION, scores=SCORES)
        for one, other in zip(
            (*found.classes, *found.more), (*by_picture.classes, *by_picture.more), strict=True
        ):
            assert (one.class_name, one.reason) == (other.class_name, other.reason)
            if one.explainable:
                close(one.deltas, other.deltas)
                for mine, theirs in zip(one.occlusions, other.occlusions, strict=True):
                    assert mine.cells == theirs.cells
                    assert mine.y == pytest.approx(theirs.y, rel=1e-5)


def test_deltas_alone_are_those_of_the_whole_explanation(either):
    images = [picture(32, seed) for seed in (0, 1)]
    batch = torch.stack([preprocess(either.model, image) for image in images])
    found = either.deltas(batch, region=REGION, scores=SCORES)
    assert found.values.shape == (2, 3, 2, either.channels)
    assert found.activation.shape[:2] == (2, either.channels)
    assert not found.values.requires_grad
    for n, image in enumerate(images):
        whole = either.explain(image, region=REGION, scores=SCORES)
        for one in (*whole.classes, *whole.more):
            mine = found.of(one.class_name, one.score)[n].numpy()
            s, t = found.scores.index(one.score), found.classes.index(one.class_name)
            assert found.reasons[n][s][t] == ("" if one.explainable else one.reason)
            if not one.explainable:
                assert np.isnan(mine).all()
                continue
            close(mine, one.deltas)
            assert found.y[n, s, t].item() == pytest.approx(one.y, rel=1e-5)
            assert abs(float(found.y_null[n, s, t]) - one.y) <= one.null_tolerance
            drawn = found.maps()[n, s, t].numpy()
            close(drawn, one.map, 1e-4)


def test_pictures_and_loaded_ones_go_through_deltas_as_well(either):
    expected = either.deltas(preprocess(either.model, picture(32)), region=REGION)
    loaded_one = either.load(picture(32), region=REGION)
    for pictures in (picture(32), [picture(32), preprocess(either.model, picture(32))]):
        found = either.deltas(pictures, region=REGION)
        close(found.values[-1:], expected.values)
    close(either.deltas([loaded_one]).values, expected.values)
    with pytest.raises(AblationError, match="a loaded case has its aperture and region"):
        either.deltas(loaded_one, region=REGION)
    other = Engine(loaded(NET, "relu", 32), Ablation())
    with pytest.raises(AblationError, match="a loaded case belongs to the model that loaded it"):
        other.deltas(loaded_one)


def test_some_channels_are_those_of_all(either):
    x = preprocess(either.model, picture(32))
    every = either.deltas(x, region=REGION).values
    some = either.deltas(x, region=REGION, channels=(5, np.int64(0)))
    assert some.channels == (5, 0)
    scale = float(every.abs().max())
    np.testing.assert_allclose(some.values, every[..., [5, 0]], rtol=0, atol=1e-5 * scale)
    assert some.activation.shape[1] == 2


class Counted:
    """A way of running the network that counts what is asked of it."""

    name = "fx"

    def __init__(self, split):
        self._split, self.prefixes, self.items = split, 0, []

    def prefix(self, x):
        self.prefixes += 1
        return self._split.prefix(x)

    def suffix(self, batch, prepared):
        self.items.append(len(batch))
        return self._split.suffix(batch, prepared)


def test_deltas_alone_cost_the_channels_a_null_item_and_two_plain_passes(model):
    engine = Engine(model, Ablation(), tuning=Tuning(batch=8, rows=False))
    split = Counted(engine._setup.split)
    engine._setup = replace(engine._setup, split=split)
    plain = []
    handle = model.module.register_forward_hook(lambda *_: plain.append(1))
    try:
        found = engine.deltas(picture(32), region=REGION, scores=SCORES)
    finally:
        handle.remove()
    assert found.values.shape == (1, 3, 2, 32)
    assert len(plain) == 2, "the prediction, and one channel that is run again"
    assert split.prefixes == 1
    assert split.items == [8] * math.ceil(33 / 8)
    assert engine._whole == [], "the model is not laid out for hidden inputs"


def test_deltas_of_a_few_pixels_run_no_whole_map(model, monkeypatch):
    engine = Engine(model, Ablation(classes=("suture",)), tuning=Tuning(batch=8))
    laid_out = []
    from agent.ablation.run import runners

    inner = runners.Program

    def counted(shared, need, *arguments, **options):
        laid_out.append((int(need.sum()), options["single"]))
        return inner(shared, need, *arguments, **options)

    monkeypatch.setattr(runners, "Program", counted)
    engine.deltas(picture(32), region=REGION)
    assert laid_out == [(int((REGION == 1).sum()), True)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_of_many_channels_is_explained_by_its_own_tensors(dtype):
    net, x = multispectral(dtype)
    model = explainable(net, ("soil", "leaf", "fruit"), x, layer=net[1])
    assert model.layer == "1"
    engine = Engine(model, Ablation(classes=("leaf",)), tuning=Tuning(batch=4))
    found = engine.deltas(x, region=np.ones((12, 20), np.uint8))
    with torch.no_grad():
        wide = deepcopy(net).double()
        head, maps = wide[2:], wide[:2](x.double())

        def margin(values):
            z = head(values)
            return (z[:, 1] - torch.logsumexp(z[:, [0, 2]], 1)).mean((1, 2))

        for k in range(8):
            without = maps.clone()
            without[:, k] = 0
            expected = margin(maps) - margin(without)
            digits = 1e-5 if dtype is torch.float32 else 1e-12
            np.testing.assert_allclose(found.of("leaf")[:, k], expected, atol=digits)
    assert found.activation.dtype == dtype
    with pytest.raises(AblationError, match=r"takes tensors of \(5, 12, 20\) that others make"):
        engine.explain(picture(32))


def test_one_channel_in_and_a_first_part_that_writes_to_its_input():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(),
                        nn.Conv2d(4, 2, 1))  # fmt: skip
    net = seeded(net)
    x = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    before = x.clone()
    model = explainable(net, ("other", "line"), x, layer="2")
    found = Engine(model, Ablation(classes=("line",))).explain(x, region="box:2,2,8,8")
    assert found.of("line").deltas.shape == (4,)
    assert found.input.shape == (1, 16, 16)
    assert torch.equal(x, before), "what was given stays as it was"


def test_several_layers_in_one_call_share_the_plain_prediction(model):
    module = model.module
    layers = [module[1], "3"]
    several = LayerEngines(model, Ablation(), layers, Tuning(batch=8))
    assert list(several) == ["1", "3"]
    assert len(several) == 2
    plain = []
    handle = module.register_forward_hook(lambda *_: plain.append(1))
    try:
        found = several.deltas(picture(32), region=REGION)
    finally:
        handle.remove()
    assert len(plain) == 3, "one prediction, and a channel that is run again at each layer"
    whole = several.explain(picture(32), region=REGION)
    for name, engine in several.items():
        alone = engine.deltas(picture(32), region=REGION)
        close(found[name].values, alone.values)
        assert whole[name].layer == found[name].layer == name
        assert whole[name].classes[0].deltas.shape == (engine.channels,)
    one, other = several.values()
    assert one._whole_model is other._whole_model


def test_a_layer_is_a_name_or_a_module_of_the_network():
    net = seeded(OneByOne())
    engine = Engine(loaded(net, None), Ablation(), layer=net.relu)
    assert engine.layer == "relu"
    for wrong, words in (
        (nn.ReLU(), "the layer, a ReLU, is no part of test"),
        (net, "the layer, a OneByOne, is no part of test"),
        (3, "a layer is a name or a module, found int"),
        ("relo", "no layer 'relo'.*there are: relu"),
    ):
        with pytest.raises(AblationError, match=words):
            Engine(loaded(net, None), Ablation(), layer=wrong)
    with pytest.raises(AblationError, match="layers: 'relu' stands there twice"):
        LayerEngines(loaded(net, None), Ablation(), ["relu", net.relu])
    with pytest.raises(AblationError, match="the means of one layer"):
        LayerEngines(loaded(net, None), Ablation(), ["relu"], Tuning(reference=np.ones(5)))


def test_the_means_of_tensors_are_those_of_their_pictures():
    model = loaded(seeded(OneByOne()), "relu")
    images = [picture(16, seed) for seed in range(3)]
    batch = torch.stack([preprocess(model, image) for image in images])
    expected = channel_means(model, [(image, None) for image in images])
    for pictures in (batch, list(batch), images):
        close(channel_means(model, pictures, model.module.relu), expected)
    with pytest.raises(AblationError, match="reference picture 0: a tensor in must be finite"):
        channel_means(model, [batch[0] * float("nan")])
    with pytest.raises(AblationError, match=r"reference picture 0: expected \(image, aperture\)"):
        channel_means(model, [3])


X = torch.zeros(3, 32, 32)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (X.to(torch.complex64), "must be torch.float32.*complex64"),
        (X.half(), "must be torch.float32.*float16"),
        (X.to(torch.float8_e4m3fn), "must be torch.float32.*float8_e4m3fn"),
        (X.double(), "must be torch.float32.*float64"),
        (X.to(torch.uint8), "must be torch.float32.*uint8"),
        (X.bool(), "must be torch.float32.*bool"),
        (X.to_sparse(), "must be dense, found torch.sparse_coo"),
        (X.to("meta"), "the tensor lies on meta, the model on cpu"),
        (X / 0, "must be finite, found NaN or infinite"),
        (X[:2], r"takes tensors of \(3, 32, 32\), found one of \(2, 32, 32\)"),
        (X[:, :16], r"takes tensors of \(3, 32, 32\), found one of \(3, 16, 32\)"),
        (X[0], r"takes tensors of \(3, 32, 32\), found one of \(32, 32\)"),
        (X.expand(2, 2, 3, 32, 32), r"takes tensors of \(3, 32, 32\), found one of"),
    ],
    ids=range(13),
)
def test_a_tensor_that_is_no_input_is_refused(engine, tensor, words):
    for call in (engine.explain, engine.deltas, engine.load):
        with pytest.raises(AblationError, match=words):
            call(tensor)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (X[None][:0], "a batch without a picture"),
        ([], "a batch without a picture"),
        ("fruit.png", "pictures: expected arrays or tensors, found str"),
        (None, "pictures: expected arrays or tensors, found NoneType"),
        ([None], "a picture must be uint8, found NoneType"),
    ],
    ids=range(5),
)
def test_batches_that_are_none_are_refused(engine, pictures, words):
    for call in (engine.deltas, engine.explain_all):
        with pytest.raises(AblationError, match=words):
            call(pictures)


def test_one_picture_is_explained_at_a_time_and_many_in_order(engine):
    batch = torch.stack([preprocess(engine.model, picture(32, seed)) for seed in (0, 1)])
    with pytest.raises(AblationError, match="2 pictures in one tensor: explain_all and deltas"):
        engine.explain(batch)
    with pytest.raises(AblationError, match="a batch without a picture"):
        engine.explain(batch[:0])
    found = engine.explain_all(batch, region=REGION, classes="suture", rung="coarse")
    assert [one.input.tolist() for one in found] == [one.tolist() for one in batch]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scores": ("foo",)}, "no score 'foo'; there are: margin, logit_sum, dice_drop"),
        ({"scores": ()}, "scores: expected at least one"),
        ({"scores": ("margin", "margin")}, "scores: 'margin' stands there twice"),
        ({"scores": 3}, "scores: expected names or functions, found int"),
        ({"classes": ()}, "classes: expected at least one"),
        ({"classes": ("stem", "stem")}, "classes: 'stem' stands there twice"),
        ({"classes": "stone"}, "no class 'stone'; there are: background, suture, stem"),
        ({"classes": (1,)}, "classes: expected names, found 1"),
        ({"baseline": "median"}, "no baseline 'median'; there are: zero, mean"),
        ({"baseline": "mean"}, "baseline mean needs one mean per channel"),
        ({"region": "circle:3"}, "no region 'circle:3'; a region is predicted, component"),
        ({"region": "mask:a.png"}, "region mask:a.png: give the mask itself"),
        ({"region": np.ones((16, 32), bool)}, "the mask of the region is 32 x 16 pixels"),
        ({"region": 3}, "a region is a focus, .* found int"),
        ({"aperture": np.ones((32, 32))}, r"an aperture must be \(H, W\) bool"),
        ({"aperture": np.ones((16, 32), bool)}, r"aperture \(16, 32\) does not fit"),
        ({"aperture": "round"}, r"an aperture must be \(H, W\) bool"),
    ],
    ids=range(17),
)
def test_arguments_that_mean_nothing_are_refused_and_never_the_default(engine, options, words):
    for call in (engine.explain, engine.deltas):
        with pytest.raises(AblationError, match=words):
            call(X, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rung": "best"}, "no rung 'best'; there are: exact, partial, coarse"),
        ({"deadline_s": float("nan")}, "deadline_s: expected a finite number"),
        ({"deadline_s": "1"}, "deadline_s: expected a number"),
        ({"studies": "all"}, "studies: expected Studies, found 'all'"),
        ({"progress": 3}, "progress: expected a function, found 3"),
        ({"tick": "now"}, "tick: expected a function, found 'now'"),
    ],
    ids=range(6),
)
def test_what_only_explanations_take_is_converted_as_well(engine, options, words):
    with pytest.raises(AblationError, match=words):
        engine.explain(X, **options)


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ((32,), "channels: expected 0 to 31, found 32"),
        ((-1,), "channels: expected 0 to 31, found -1"),
        ((1, 1), "channels: 1 stands there twice"),
        ((), "channels: expected at least one"),
        ((1.0,), "channels: expected a whole number"),
        ((True,), "channels: expected a whole number"),
        ("1", "channels: expected numbers, found str"),
        (1, "channels: expected numbers, found int"),
    ],
)
def test_channels_that_are_none_are_refused(engine, channels, words):
    with pytest.raises(AblationError, match=words):
        engine.deltas(X, channels=channels)


def test_words_give_what_their_members_give(engine):
    by_word = engine.explain(picture(32), region=REGION, scores="logit_sum", rung="coarse")
    assert by_word.score == by_word.classes[0].score == "logit_sum"
    assert by_word.left_out[0] == "region_fractions"
    deltas = engine.deltas(picture(32), region=REGION, scores=("logit_sum",)).of("suture")[0]
    close(by_word.of("suture").deltas, deltas)


def test_neither_autocast_nor_inference_mode_of_the_caller_changes_a_number(engine):
    mask = REGION == 1
    expected = engine.explain(picture(32), region=mask, rung="partial", deadline_s=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = engine.explain(picture(32), region=mask, rung="partial", deadline_s=0.0)
    with torch.inference_mode():
        x = preprocess(engine.model, picture(32))
        region = torch.from_numpy(mask)
        inferred = engine.explain(x, region=region, rung="partial", deadline_s=0.0)
    for found in (cast, inferred):
        close(found.of("suture").deltas, expected.of("suture").deltas)
        assert found.region_source == "mask"


NET = seeded(OneByOne())
THREE = ("background", "suture", "stem")
SMALL = Preprocessing(width_px=16, height_px=16)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("net.pt", THREE, SMALL), {}, "module: expected Module, found 'net.pt'"),
        ((NET, "abc", SMALL), {}, "at least two different classes are needed, found"),
        ((NET, THREE, {"width_px": 16}), {}, "preprocessing: expected Preprocessing, found a dict"),
        ((NET, THREE, SMALL), {"head": "linear"}, "no head 'linear'; there are: logits, sigmoid"),
        ((NET, THREE, SMALL), {"layer": nn.ReLU()}, "is no part of OneByOne"),
        ((NET, THREE, SMALL), {"output_key": -1}, "output_key: expected at least 0"),
        ((NET, THREE, SMALL), {"output_key": 1.0}, "output_key: expected a whole number"),
        ((NET, THREE, X[None][:0]), {}, "with at least one picture"),
        ((NET, THREE, X[0]), {}, r"must be \(C, h, w\) or \(N, C, h, w\)"),
        ((NET, THREE, X.half()), {}, "must be float32 or float64, found torch.float16"),
        ((NET, THREE, X.to(torch.complex64)), {}, "must be float32 or float64"),
        ((NET, THREE, X.to_sparse()), {}, "must be dense"),
        ((NET, THREE, X / 0), {}, "must be finite"),
        ((NET, THREE, X.to("meta")), {}, "the tensor lies on meta, the model on cpu"),
        ((NET, THREE, X[:2]), {}, r"fails on an input of shape \(2, 32, 32\)"),
        ((NET, THREE, X.double()), {}, "is torch.float32, the network's input torch.float64"),
    ],
    ids=range(16),
)
def test_a_module_is_made_ready_from_what_fits_it_alone(arguments, options, words):
    with pytest.raises(AblationError, match=words):
        explainable(*arguments, **options)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_weights_of_another_dtype_than_the_input_are_refused_by_name(dtype):
    with pytest.warns(UserWarning, match="Complex modules") if dtype.is_complex else nullcontext():
        module = seeded(OneByOne()).to(dtype)
    for call in (
        lambda: explainable(module, THREE, SMALL),
        lambda: Engine(loaded(module, "relu"), Ablation()),
    ):
        with pytest.raises(AblationError, match=r"features.weight is .* call module.float\(\)"):
            call()


def test_a_network_that_is_changed_after_its_engine_was_made_is_refused():
    module = seeded(OneByOne())
    engine = Engine(loaded(module, "relu"), Ablation())
    for change, words in (
        (module.double, "features.weight is torch.float64, the network's input torch.float32"),
        (lambda: module.float().train(), "is in train mode"),
    ):
        change()
        with pytest.raises(AblationError, match=words):
            engine.deltas(picture(16))


def test_weights_on_two_devices_are_refused():
    module = seeded(OneByOne())
    module.head.to("meta")
    with pytest.raises(AblationError, match="the weights lie on cpu and meta"):
        explainable(module, THREE, SMALL)


def test_a_head_may_be_named_by_its_word():
    module = nn.Sequential(seeded(OneByOne(classes=2)), nn.Sigmoid()).eval()
    by_word = explainable(module, THREE, SMALL, layer="0.relu", head="sigmoid")
    found = Engine(by_word, Ablation()).explain(picture(16), region=bar_and_disc(16))
    plain = Engine(explainable(module, THREE, SMALL, layer="0.relu", head=by_word.head), Ablation())
    other = plain.explain(picture(16), region=bar_and_disc(16))
    close(found.classes[0].deltas, other.classes[0].deltas)
    with pytest.raises(ValueError, match="'softplus' is not a valid Head"):
        replace(by_word, head="softplus")


def test_what_an_own_network_is_tried_on_has_the_scale_of_its_example():
    net, x = multispectral()
    x = x * torch.tensor([1.0, 10, 100, 1000, 0])[:, None, None] + 7
    probe = probe_batch(explainable(net, THREE, x))
    assert probe.shape == (2, 5, 12, 20)
    np.testing.assert_allclose(probe.mean((0, 2, 3)), x.mean((0, 2, 3)), rtol=0.1)
    assert probe.std((0, 2, 3))[3] > 100 > 2 > probe.std((0, 2, 3))[0]


def test_an_engine_takes_its_own_kind_of_arguments():
    model = loaded(NET, "relu")
    for arguments, words in (
        ((NET, Ablation()), r"model \(made by explainable or load_model\): expected LoadedModel"),
        ((model, {"classes": THREE}), "settings: expected Ablation, found a dict"),
        ((model, Ablation(), "relu", 8), "tuning: expected Tuning, found 8"),
    ):
        with pytest.raises(AblationError, match=words):
            Engine(*arguments)


def test_an_own_score_is_read_through_deltas_and_an_aperture(engine):
    aperture = np.ones((32, 32), bool)
    aperture[:4] = False

    def everywhere(logits):
        return (logits[:, 1] - logits[:, 0]).mean((1, 2))

    whole = engine.explain(picture(32), aperture, scores=everywhere, region=REGION)
    alone = engine.deltas(picture(32), aperture, scores=own_score(everywhere), region=REGION)
    expected = whole.of("suture").deltas
    close(alone.of("suture")[0], expected)
