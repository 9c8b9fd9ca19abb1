"""TorchScript, torch.export and factories load only when exactly this program is trusted."""

from __future__ import annotations

import importlib.util
import py_compile
import sys

import pytest
import torch
from torch import nn

from agent import config
from agent.config import Head, ModelFormat, Preprocessing
from agent.models.card import ModelCard, card_path, card_text
from agent.models.errors import ModelError
from agent.models.files import sha256_of
from agent.models.formats import factory_source
from agent.models.fusing import fused
from agent.models.layers import layer_names
from agent.models.loaded import logits
from agent.models.loading import load_model
from agent.models.programs import require_trust

SMALL = Preprocessing(width_px=32, height_px=32)
CLASSES = ("background", "suture", "stem")

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


def trusted(path, **more) -> config.Model:
    return config.Model(
        path=path,
        trust="program",
        sha256=sha256_of(path.read_bytes()),
        preprocessing=SMALL,
        device="cpu",
        **{"classes": CLASSES, "head": Head.LOGITS, **more},
    )


def torchscript(module: nn.Module, path):
    torch.jit.save(torch.jit.trace(module, torch.zeros(2, 3, 32, 32)), path)
    return path


def exported(module: nn.Module, path, batch: int = 2, dynamic: bool = True):
    shapes = ({0: torch.export.Dim("n", min=1, max=64)},) if dynamic else None
    program = torch.export.export(module, (torch.zeros(batch, 3, 32, 32),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def test_torchscript_gives_the_logits_of_the_module_it_was_made_from(net, tmp_path):
    model = load_model(trusted(torchscript(net, tmp_path / "m.ts")))
    x = torch.rand(3, 3, 32, 32)
    assert torch.allclose(logits(model, x), net(x), atol=1e-5)
    assert model.batchable
    assert layer_names(model.module, x) == []
    assert fused(model) is model


@pytest.mark.long
def test_an_exported_program_gives_the_logits_of_the_module_it_was_made_from(net, tmp_path):
    model = load_model(trusted(exported(net, tmp_path / "m.pt2")))
    x = torch.rand(3, 3, 32, 32)
    assert torch.allclose(logits(model, x), net(x), atol=1e-5)
    assert torch.allclose(logits(fused(model), x), net(x), atol=1e-5)


@pytest.mark.long
def test_a_program_made_for_one_picture_is_fed_one_at_a_time(net, tmp_path):
    model = load_model(trusted(exported(net, tmp_path / "m.pt2", batch=1, dynamic=False)))
    assert not model.batchable
    x = torch.rand(3, 3, 32, 32)
    assert torch.allclose(logits(model, x), net(x), atol=1e-5)


def test_a_program_exported_in_training_mode_is_refused(net, tmp_path):
    path = exported(net.train(), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"m\.pt2: batch_norm.*exported in training mode"):
        load_model(trusted(path))


def test_torchscript_traced_in_training_mode_is_refused(net, tmp_path):
    with torch.no_grad():
        path = torchscript(net.train(), tmp_path / "m.ts")
    with pytest.raises(ModelError, match=r"m\.ts: .*BatchNorm works in training mode"):
        load_model(trusted(path))


@pytest.mark.parametrize("suffix", [".ts", ".pt2"])
def test_a_file_that_is_no_program_is_named(tmp_path, suffix):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match=rf"bad\{suffix}: not a"):
        load_model(trusted(path))


def test_without_trust_no_program_is_even_opened(net, tmp_path):
    path = torchscript(net, tmp_path / "m.ts")
    # A configuration cannot be made like this; one that was copied with changes can.
    untrusted = trusted(path).model_copy(update={"trust": "data"})
    with pytest.raises(ModelError, match=r"m\.ts: a torchscript file is a program") as caught:
        load_model(untrusted)
    assert sha256_of(path.read_bytes()) in str(caught.value)
    with pytest.raises(ModelError, match=r"also needs model\.sha256"):
        load_model(trusted(path).model_copy(update={"sha256": None}))


def test_trust_covers_one_sha256_only():
    settings = config.Model(format=ModelFormat.AUTO, trust="program", sha256="a" * 64)
    require_trust(settings, "m.ts", "a file", "a" * 64)
    with pytest.raises(
        ModelError, match=rf"sha256 is {'b' * 64}, but model\.sha256 says {'a' * 64}"
    ):
        require_trust(settings, "m.ts", "a file", "b" * 64)


def test_classes_of_a_program_must_be_declared(net, tmp_path):
    path = torchscript(net, tmp_path / "m.ts")
    with pytest.raises(ModelError, match=r"m\.ts: its classes are not known: set model\.classes"):
        load_model(trusted(path, classes=None))


FACTORY = """
import pathlib
import torch
from torch import nn

pathlib.Path(__file__).with_name("imported").write_text("yes")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.last = nn.Conv2d(4, 3, 1)

    def forward(self, x):
        return {"aux": x, "out": self.last(self.body(x))}


def make():
    torch.manual_seed(5)
    return Net()


def broken():
    raise LookupError("no such thing")


def text():
    return "a string"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package ``plantnets`` with the module ``peach`` on the path; yields the module's file."""
    folder = tmp_path / "plantnets"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "peach.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder / "peach.py"
    for name in ("plantnets", "plantnets.peach"):
        sys.modules.pop(name, None)


def made_by(function: str, source, **more) -> config.Model:
    return config.Model(
        factory=f"plantnets.peach:{function}",
        trust="program",
        sha256=sha256_of(source.read_bytes()),
        preprocessing=SMALL,
        device="cpu",
        classes=CLASSES,
        head=Head.LOGITS,
        **more,
    )


def test_a_factory_gives_any_module_and_its_output_is_named_by_key(package):
    model = load_model(made_by("make", package, output_key="out", layer="body.2"))
    assert model.sha256 == sha256_of(package.read_bytes())
    assert model.card.architecture == "factory"
    x = torch.rand(2, 3, 32, 32)
    assert torch.allclose(logits(model, x), model.module(x)["out"])
    assert not model.module.training
    assert layer_names(model.module, x) == ["body.0", "body.1", "body.2", "body", "last"]
    assert torch.allclose(logits(fused(model), x), logits(model, x), atol=1e-5)


def test_a_dictionary_without_a_key_lists_its_keys(package):
    with pytest.raises(ModelError, match=r"name one of its keys in model\.output_key: aux, out"):
        load_model(made_by("make", package))
    with pytest.raises(ModelError, match="no output 'logits'; the network returns: aux, out"):
        load_model(made_by("make", package, output_key="logits"))


def test_a_factory_is_not_imported_before_its_sha256_was_checked(package):
    marker = package.with_name("imported")
    settings = made_by("make", package, output_key="out")
    package.write_text(FACTORY + "\n# changed\n")
    with pytest.raises(ModelError, match=r"plantnets\.peach:make: sha256 is"):
        load_model(settings)
    assert not marker.exists()
    assert "plantnets" not in sys.modules


def test_what_runs_is_the_source_and_not_a_byte_code_cache_beside_it(package):
    changed = FACTORY.replace("nn.Conv2d(4, 3, 1)", "nn.Conv2d(4, 3, 3, padding=1)")
    package.write_text(changed)
    cached = importlib.util.cache_from_source(str(package))
    py_compile.compile(str(package), cached, invalidation_mode=UNCHECKED)
    package.write_text(FACTORY)
    model = load_model(made_by("make", package, output_key="out"))
    assert model.module.last.weight.shape == (3, 4, 1, 1)


def test_weights_for_a_factory_are_read_as_data(package, tmp_path):
    settings = made_by("make", package, output_key="out")
    state = load_model(settings).module.state_dict()
    state["last.bias"] = torch.tensor([1.0, 2.0, 3.0])
    path = tmp_path / "plant.pt"
    torch.save(state, path)
    model = load_model(settings.model_copy(update={"path": path}))
    assert torch.equal(model.module.last.bias, torch.tensor([1.0, 2.0, 3.0]))
    both = sha256_of(package.read_bytes()) + sha256_of(path.read_bytes())
    assert model.sha256 == sha256_of(both.encode())
    torch.save({"other": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"plant\.pt: does not fit plantnets\.peach:make: Missing"):
        load_model(settings.model_copy(update={"path": path}))


def test_weights_of_a_factory_may_lack_counters_and_must_be_of_its_kind(package, tmp_path):
    settings = made_by("make", package, output_key="out")
    path = tmp_path / "plant.pt"
    settings = settings.model_copy(update={"path": path})
    state = load_model(settings.model_copy(update={"path": None})).module.state_dict()
    torch.save({f"module.{k}": v for k, v in state.items() if "num_batches" not in k}, path)
    assert torch.equal(load_model(settings).module.last.bias, state["last.bias"])
    torch.save({**state, "last.bias": torch.zeros(3, dtype=torch.int64)}, path)
    with pytest.raises(ModelError, match=r"plant\.pt: last\.bias: int64 values where"):
        load_model(settings)


def test_a_program_with_a_flipped_byte_is_refused(net, tmp_path):
    path = torchscript(net, tmp_path / "m.ts")
    data = bytearray(path.read_bytes())
    needle = net.state_dict()["bottleneck.bottleneckconv1.weight"].numpy().tobytes()[:64]
    data[data.index(needle) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"m\.ts: damaged: .* does not fit its checksum"):
        load_model(trusted(path))


def test_a_factory_that_fails_or_makes_something_else_is_named(package):
    with pytest.raises(ModelError, match=r"plantnets\.peach:broken: failed: LookupError"):
        load_model(made_by("broken", package))
    with pytest.raises(ModelError, match=r"peach:text: expected a torch\.nn\.Module, got str"):
        load_model(made_by("text", package))
    with pytest.raises(ModelError, match=r"plantnets\.peach:absent: failed: AttributeError"):
        load_model(made_by("absent", package))


@pytest.mark.parametrize("name", ["plantnets.none:make", "no_such_package.x:make", "sys:exit"])
def test_a_factory_whose_source_is_not_there_is_named(package, name):
    with pytest.raises(ModelError, match=f"{name}: no Python source of the module"):
        factory_source(name)
    assert factory_source("plantnets.peach:make") == package


def test_softmax_of_a_program_is_inverted(tmp_path):
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 3, 1)
    path = torchscript(nn.Sequential(conv, nn.Softmax(1)), tmp_path / "m.ts")
    model = load_model(trusted(path, head=Head.SOFTMAX))
    x = torch.rand(1, 3, 32, 32)
    assert torch.allclose(logits(model, x), conv(x).log_softmax(1), atol=1e-5)


@pytest.mark.parametrize(
    ("missing", "place"),
    [
        ("classes", "model.classes"),
        ("head", "model.head"),
        ("preprocessing", "model.preprocessing"),
    ],
)
def test_what_a_program_must_declare_is_never_guessed(tmp_path, missing, place):
    path = torchscript(nn.Conv2d(3, 3, 1), tmp_path / "m.ts")
    settings = trusted(path).model_copy(update={missing: None})
    with pytest.raises(ModelError, match=f"m.ts: .* not known: set {place}"):
        load_model(settings)
    card = ModelCard(name="m", classes=CLASSES, head=Head.SOFTMAX, preprocessing=SMALL)
    card_path(path).write_text(card_text(card))
    assert load_model(settings).head is (Head.SOFTMAX if missing == "head" else Head.LOGITS)


def test_a_missing_file_of_a_program_is_named(tmp_path):
    settings = config.Model(
        path=tmp_path / "no.ts", trust="program", sha256="0" * 64, classes=CLASSES
    )
    with pytest.raises(ModelError, match=r"no\.ts: cannot be read"):
        load_model(settings)
    with pytest.raises(ModelError, match=r"model\.format: export needs model\.path"):
        load_model(settings.model_copy(update={"path": None, "format": ModelFormat.EXPORT}))
    with pytest.raises(ModelError, match=r"format: factory needs model\.factory"):
        load_model(settings.model_copy(update={"format": ModelFormat.FACTORY}))
    assert not list(tmp_path.iterdir())
