"""Loading a model as the configuration and its card describe it."""

from __future__ import annotations

import dataclasses
import importlib.resources
from pathlib import Path
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from agent import config
from agent.config import Head, ModelFormat, Preprocessing
from agent.models import files, programs, weights
from agent.models.card import ModelCard, card_path, read_card
from agent.models.checks import fits_batches, probe_batch, self_test, to_eval
from agent.models.errors import ModelError
from agent.models.formats import factory_source, format_of
from agent.models.layers import check_layer, layer_names
from agent.models.loaded import LoadedModel
from agent.models.onnx_in.file import OnnxFile
from agent.models.pictures import channels_of
from agent.models.state_dicts import check_against
from agent.models.unet import SIZE_MULTIPLE, UNet, unet_from_state_dict
from agent.records import BACKGROUND, CLASSES, SUTURE

UNUSED = "num_batches_tracked"
"""BatchNorm's counter, which plays no part in inference and may be missing."""
WHERE = " in a configuration (--config), or write a card beside the file"
UNET_CLASSES = {1: (BACKGROUND, SUTURE), 2: (BACKGROUND, SUTURE), 3: CLASSES}
UNET_LAYER = "encoder4.enc4relu2"
"""The last encoder layer, after its non-linearity: where the method ablates by default."""


def default_weights() -> Path:
    """The weights shipped inside the package; ``ModelError`` when this installation has none."""
    resource = importlib.resources.files("agent.models") / "weights" / "default.safetensors"
    path = Path(str(resource))
    if not path.is_file():
        raise ModelError(
            f"{path}: this installation has no default weights; name a file in model.path"
        )
    return path


def load_model(settings: config.Model, device: str | None = None) -> LoadedModel:
    """The model that ``settings`` names, checked, self-tested and on its device.

    ``device`` overrides ``settings.device``; "auto" is CUDA where there is any. What the settings
    leave at None is taken from the card beside the file, then from the built-in U-Net's defaults.
    Raises ``ModelError`` naming the file or setting at fault.
    """
    where = choose_device(device or settings.device)
    kind = format_of(settings)
    path = settings.path
    if path is None and kind is ModelFormat.WEIGHTS:
        path = default_weights()
    found_card = read_card(card_path(path)) if path is not None else None
    module, sha256, name, several = _read(settings, kind, path, found_card)
    tensors = {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    weights.check_finite(tensors, name)
    to_eval(module, name)
    builtin = isinstance(module, UNet)
    card = found_card or ModelCard(
        name=path.stem if path is not None else name, architecture="unet" if builtin else kind
    )
    model = LoadedModel(
        module=module.to(where),
        name=card.name,
        sha256=sha256,
        classes=_classes(settings, card, module, name),
        head=_head(settings, card, module, name),
        preprocessing=_preprocessing(settings, card, module, name),
        layer=settings.layer or card.layer or (UNET_LAYER if builtin else None),
        output_key=settings.output_key or card.output_key,
        device=where,
        card=card,
        path=str(path or settings.factory or ""),
    )
    if not builtin and not (several and fits_batches(model)):
        model = dataclasses.replace(model, batchable=False)
    self_test(model)
    if model.layer is not None and (names := layer_names(model.module, probe_batch(model)[:1])):
        check_layer(model.layer, names, model.label)
    return model


def choose_device(wanted: str) -> torch.device:
    """The torch device for "auto", "cpu", "cuda" or "cuda:N"; ``ModelError`` when it is absent."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        wanted = "cuda" if count else "cpu"
    chosen = torch.device(wanted)
    if chosen.type == "cuda" and (chosen.index or 0) >= count:
        raise ModelError(f"device {wanted}: this machine offers {count} CUDA devices to torch")
    return chosen


class _Read(NamedTuple):
    """``name`` is what errors call it by; ``several`` is false where the file says that the network
    takes one picture at a time."""

    module: nn.Module
    sha256: str
    name: str
    several: bool = True


def _read(
    settings: config.Model, kind: ModelFormat, path: Path | None, card: ModelCard | None
) -> _Read:
    if kind is ModelFormat.FACTORY:
        return _read_factory(settings, path, card)
    assert path is not None
    name = str(path)
    data = files.read_file(path)
    if kind is ModelFormat.ONNX:
        return _read_onnx(settings, OnnxFile(data, path), name, card)
    sha256 = files.sha256_of(data)
    if kind is ModelFormat.WEIGHTS:
        files.check_sha256(name, sha256, settings.sha256, "model.sha256")
    else:
        programs.require_trust(settings, name, f"a {kind} file", sha256)
    files.check_sha256(name, sha256, card.sha256 if card else None, "its model card")
    if kind is ModelFormat.TORCHSCRIPT:
        return _Read(programs.load_torchscript(data, name), sha256, name)
    if kind is ModelFormat.EXPORT:
        return _Read(programs.load_export(data, name), sha256, name)
    state = weights.read_state_dict(data, name)
    try:
        return _Read(unet_from_state_dict(state), sha256, name)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def _read_onnx(settings: config.Model, file: OnnxFile, name: str, card: ModelCard | None) -> _Read:
    """What is made of the file depends on how large the pictures are."""
    files.check_sha256(name, file.sha256, settings.sha256, "model.sha256")
    files.check_sha256(name, file.sha256, card.sha256 if card else None, "its model card")
    pictures = settings.preprocessing or (card.preprocessing if card else None)
    network = file.network(pictures or _unknown_preprocessing(name))
    return _Read(network.module, file.sha256, name, network.batchable)


def _read_factory(settings: config.Model, path: Path | None, card: ModelCard | None) -> _Read:
    """A factory's module; with a path, its weights are read from there, as data.

    The sha256 of the pair is that of both digests one after the other.
    """
    factory = settings.factory
    assert factory is not None
    source_path = factory_source(factory)
    source = files.read_file(source_path)
    sha256 = files.sha256_of(source)
    programs.require_trust(settings, factory, "a factory", sha256)
    module = programs.load_factory(factory, source, source_path)
    if path is None:
        return _Read(module, sha256, factory)
    data = files.read_file(path)
    found = files.sha256_of(data)
    files.check_sha256(str(path), found, card.sha256 if card else None, "its model card")
    own = module.state_dict()
    state = weights.read_state_dict(data, str(path), own)
    counters = {k: v for k, v in own.items() if k.endswith(UNUSED) and k not in state}
    try:
        check_against(state, own)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    try:
        module.load_state_dict({**counters, **state})
    except RuntimeError as error:
        lines = "; ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise ModelError(f"{path}: does not fit {factory}: {lines}") from error
    return _Read(module, files.sha256_of((sha256 + found).encode()), factory)


def _classes(
    settings: config.Model, card: ModelCard, module: nn.Module, name: str
) -> tuple[str, ...]:
    classes = settings.classes or card.classes
    if classes is None and isinstance(module, UNet):
        classes = UNET_CLASSES.get(module.out_channels)
    if classes is None:
        raise ModelError(
            f"{name}: its classes are not known: set model.classes, background first{WHERE}"
        )
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ModelError(
            f"{name}: expected two or more different classes, found: {', '.join(classes)}"
        )
    return classes


def _head(settings: config.Model, card: ModelCard, module: nn.Module, name: str) -> Head:
    # The built-in network ends before any sigmoid or softmax: what it gives are logits.
    head = Head.LOGITS if isinstance(module, UNet) else settings.head or card.head
    if head is None:
        raise ModelError(
            f"{name}: what it returns is not known: set model.head to {', '.join(Head)}{WHERE}"
        )
    return head


def _preprocessing(
    settings: config.Model, card: ModelCard, module: nn.Module, name: str
) -> Preprocessing:
    chosen = settings.preprocessing or card.preprocessing
    if chosen is None and not isinstance(module, UNet):
        chosen = _unknown_preprocessing(name)
    chosen = chosen or Preprocessing()
    channels = channels_of(chosen)
    if isinstance(module, UNet):
        if module.in_channels != channels:
            raise ModelError(
                f"{name}: encoder1.enc1conv1.weight: the network takes {module.in_channels} "
                f"channels, but the preprocessing makes {channels}"
            )
        for side, value in (("width_px", chosen.width_px), ("height_px", chosen.height_px)):
            if value % SIZE_MULTIPLE:
                raise ModelError(
                    f"{name}: preprocessing.{side}: {value} is no multiple of {SIZE_MULTIPLE}, "
                    "which the built-in U-Net needs"
                )
    return chosen


def _unknown_preprocessing(name: str) -> NoReturn:
    raise ModelError(
        f"{name}: how its input is made of a picture is not known: set model.preprocessing{WHERE}"
    )
