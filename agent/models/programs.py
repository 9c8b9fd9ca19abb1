"""Models that are programs: TorchScript, torch.export and factories. Loading one runs its code.

They load only where the configuration says ``trust: program`` and names the sha256: of the file,
or, for a factory, of the source file of its module (found without importing anything). Only that
one file is checked; what it imports is as trusted as the Python environment around it.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import sys
from pathlib import Path

import torch
from torch import nn

from agent import config
from agent.models.errors import ModelError, first_line
from agent.models.files import check_archive, check_sha256
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

TRAINING_ARGUMENTS = ("training", "train")


def require_trust(settings: config.Model, name: str, what: str, sha256: str) -> None:
    """Raise ``ModelError`` unless the configuration trusts exactly this program."""
    if settings.trust != "program":
        raise ModelError(
            f"{name}: {what} is a program, not data, and runs code when loaded: if its origin "
            "is trusted, set model.trust: program and model.sha256, or say --trust program "
            f"--sha256 HEX (this one has {sha256})"
        )
    if settings.sha256 is None:
        raise ModelError(
            f"{name}: model.trust: program also needs model.sha256 (this one has {sha256})"
        )
    check_sha256(name, sha256, settings.sha256, "model.sha256")


def load_torchscript(data: bytes, name: str) -> nn.Module:
    """The TorchScript module in ``data``, on the CPU."""
    check_archive(data, name)
    try:
        module: nn.Module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{name}: not a TorchScript file: {first_line(error)}") from error
    return module


def load_export(data: bytes, name: str) -> nn.Module:
    """The torch.export program in ``data``; refused when it was exported in training mode.

    As modules of the names they had where the program knows them, so that layers can be named;
    otherwise as one flat graph.
    """
    check_archive(data, name)
    try:
        program = torch.export.load(io.BytesIO(data))
    except Exception as error:  # the deserialiser raises whatever the file made it meet
        raise ModelError(f"{name}: not a torch.export file: {first_line(error)}") from error
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for index, argument in enumerate(schema.arguments if schema is not None else ()):
            value = node.args[index] if index < len(node.args) else node.kwargs.get(argument.name)
            if argument.name in TRAINING_ARGUMENTS and value is True:
                raise ModelError(
                    f"{name}: {node.name}: exported in training mode; call eval() first"
                )
    try:
        return torch.export.unflatten(program)
    except (RuntimeError, AssertionError, KeyError, AttributeError, ValueError) as error:
        reason = first_line(error)
        log_event(logger, logging.WARNING, "model_layers_unknown", model=name, reason=reason)
        return program.module()


def load_factory(factory: str, source: bytes, path: Path) -> nn.Module:
    """Run ``source``, the module of ``package.module:function``, and return the function's module.

    The source that was hashed is what runs: neither the file again nor a byte-code cache beside it.
    """
    module_name, _, function_name = factory.partition(":")
    parent = module_name.rpartition(".")[0]
    try:
        if parent:
            importlib.import_module(parent)
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None
        program = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = program
        exec(compile(source, str(path), "exec"), program.__dict__)  # noqa: S102 - trusted by sha256
        module = getattr(program, function_name)()
    except Exception as error:  # foreign code may raise anything; all of it is one message
        raise ModelError(
            f"{factory}: failed: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"{factory}: expected a torch.nn.Module, got {type(module).__name__}")
    return module
