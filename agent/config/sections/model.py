"""``model``: the segmentation network and how a picture becomes its input."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agent.config.rules import Broken, unique
from agent.config.sections.base import LongSeconds, Name, Section, text


class ModelFormat(enum.StrEnum):
    AUTO = "auto"  # by suffix: .safetensors, .pt/.pth (state dict), .onnx, .pt2, .ts
    WEIGHTS = "weights"  # safetensors or a state dict for the built-in U-Net
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    EXPORT = "export"
    FACTORY = "factory"


class Head(enum.StrEnum):
    LOGITS = "logits"  # C channels
    SIGMOID = "sigmoid"  # one channel of probability; the other logit is 0
    SOFTMAX = "softmax"  # C channels of probability, inverted by log


class Preprocessing(Section):
    """How a uint8 picture becomes the network's input; declared, never guessed."""

    width_px: Annotated[int, Field(ge=16, le=4096)] = 192
    height_px: Annotated[int, Field(ge=16, le=4096)] = 192
    colour: Literal["rgb", "bgr", "gray"] = "rgb"
    scale: Annotated[float, Field(gt=0)] = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0, 1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _one_channel_for_gray(cls, data: Any) -> Any:
        """Grey has one channel, so its defaults have one value."""
        if isinstance(data, dict) and data.get("colour") == "gray":
            return {"mean": (0.0,), "std": (1.0,)} | data
        return data

    def rule_scale(self) -> Iterator[Broken]:
        if self.scale > 1:
            yield Broken(
                ("scale",),
                f"{self.scale:g} multiplies grey levels, which go up to 255",
                f"at most 1, or {1 / self.scale:.8g} if they are to be divided by {self.scale:g}",
            )

    def rule_channels(self) -> Iterator[Broken]:
        channels = 1 if self.colour == "gray" else 3
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                yield Broken(
                    (key,),
                    f"has {len(values)} values, but colour {self.colour} has {channels}",
                    f"{channels} numbers, one for each channel",
                )


Sha256 = Annotated[str, text(r"^[0-9a-f]{64}$", "64 hexadecimal digits in lower case")]


class Shadow(Section):
    """How a staged model is tried beside the live one, before anybody promotes it."""

    every: Annotated[int, Field(ge=1, le=100_000)] = 10
    """One picture in so many is shown to it."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of the time, at most, that its process computes."""
    time_s: LongSeconds = 3600.0
    pictures_min: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """It is not over before it has seen so many."""
    explain_every: Annotated[int, Field(ge=0, le=100_000)] = 10
    """One of its pictures in so many is also explained; 0: none."""


class Model(Section):
    """The segmentation network. Fields left at None come from the model card beside the weights."""

    path: Path | None = None
    """None: the model shipped with the package."""
    format: ModelFormat = ModelFormat.AUTO
    trust: Literal["data", "program"] = "data"
    """TorchScript, .pt2 and factories are programs: they load only as ``program`` with a sha256."""
    sha256: Sha256 | None = None
    factory: Annotated[str, text(r"^[\w.]+:\w+$", "package.module:function")] | None = None
    classes: tuple[Name, ...] | None = None
    head: Head | None = None
    output_key: str | None = None
    """Key of the logits when the network returns a dictionary (torchvision's ``out``)."""
    preprocessing: Preprocessing | None = None
    layer: str | None = None
    """Target layer of the ablation, by name."""
    device: Annotated[str, text(r"^(auto|cpu|cuda(:\d+)?)$", "auto, cpu, cuda or cuda:N")] = "auto"
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads inside operators of the live path; more than one competes with the workers."""
    shadow: Shadow = Shadow()

    def rule_format(self) -> Iterator[Broken]:
        kind = self.format.value
        if self.factory is not None and kind not in ("factory", "auto"):
            yield Broken(("format",), f"is {kind} although a factory is named", "factory")
        if kind == "factory" and self.factory is None:
            yield Broken(("factory",), "is missing for format factory", "package.module:function")
        if kind in ("onnx", "torchscript", "export") and self.path is None:
            yield Broken(("path",), f"is missing for format {kind}", "the file of the network")

    def rule_trust(self) -> Iterator[Broken]:
        if self._is_program() and self.trust != "program":
            yield Broken(
                ("trust",),
                "is data, but this model is a program that would run with the agent's rights",
                "program, together with the sha256 of the file, when you trust who made it",
            )

    def rule_sha256(self) -> Iterator[Broken]:
        if self.sha256 is None and (self.trust == "program" or self._is_program()):
            yield Broken(("sha256",), "is missing: a program loads only with its sha256")

    def rule_classes(self) -> Iterator[Broken]:
        if self.classes is None:
            return
        yield from unique(("classes",), self.classes)
        if len(self.classes) < 2:
            yield Broken(("classes",), "has fewer than 2 names", "background and at least one more")

    def _is_program(self) -> bool:
        if self.format is ModelFormat.AUTO:
            suffix = self.path.suffix.lower() if self.path is not None else ""
            return self.factory is not None or suffix in (".pt2", ".ts")
        data = self.format in (ModelFormat.WEIGHTS, ModelFormat.ONNX)
        return not data or self.factory is not None
