"""Reading weights as data: safetensors or a state dict, never an unpickled object."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from agent.models.errors import ModelError

FILE_LIMIT_BYTES = 4 * 1024**3
WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts keep the state dict inside a checkpoint."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""


def read_file(path: Path) -> bytes:
    """The whole file, read once, so that what is hashed is what is loaded."""
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT_BYTES:
            raise ModelError(f"{path}: {size} bytes, more than the {FILE_LIMIT_BYTES} allowed")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def sha256_of(data: bytes) -> str:
    """64 hexadecimal digits, lower case, as ``sha256sum`` prints them."""
    return hashlib.sha256(data).hexdigest()


def check_sha256(name: str, found: str, wanted: str | None, said_by: str) -> None:
    """Raise ``ModelError`` when ``said_by`` declares another sha256 than the file has."""
    if wanted is not None and wanted != found:
        raise ModelError(f"{name}: sha256 is {found}, but {said_by} says {wanted}")


def read_state_dict(data: bytes, name: str) -> dict[str, Tensor]:
    """A flat state dict out of the bytes of a file; ``ModelError`` naming ``name`` otherwise."""
    raw = _safetensors(data, name) if name.endswith(".safetensors") else _checkpoint(data, name)
    inside = (raw.get(wrapper) for wrapper in WRAPPERS)
    raw = next((inner for inner in inside if isinstance(inner, Mapping)), raw)
    state: dict[str, Tensor] = {}
    for key, value in raw.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{name}: {key}: a state dict holds named tensors, found {type(value).__name__}"
            )
        state[key] = value
    if not state:
        raise ModelError(f"{name}: holds no weights")
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    check_finite(state, name)
    return state


def check_finite(state: Mapping[str, Tensor], name: str) -> None:
    """Raise ``ModelError`` naming the first weight that holds a NaN or an infinity."""
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            bad = int((~torch.isfinite(value)).sum())
            raise ModelError(f"{name}: {key}: {bad} of {value.numel()} values are NaN or infinite")


def _safetensors(data: bytes, name: str) -> Mapping[str, object]:
    try:
        return load_safetensors(data)
    except (SafetensorError, ValueError) as error:
        raise ModelError(f"{name}: not a safetensors file: {error}") from error


def _checkpoint(data: bytes, name: str) -> Mapping[str, object]:
    if _is_program(data):
        raise ModelError(
            f"{name}: a TorchScript or torch.export program, not weights: name its format "
            "(model.format: torchscript or export), which asks for model.trust: program"
        )
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{name}: refused: it holds pickled objects (or is damaged), and loading those would "
            "run code; save model.state_dict() instead, or convert it to safetensors"
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError, KeyError, IndexError) as error:
        first_line = str(error).partition("\n")[0]
        raise ModelError(f"{name}: not a readable state dict: {first_line}") from error
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{name}: expected a state dict, found {type(loaded).__name__}")
    return loaded


def _is_program(data: bytes) -> bool:
    """Whether these bytes are a zip archive with code in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(
                "/code/" in entry
                or entry.endswith((".py", "constants.pkl", "model.json"))
                or "serialized_exported_program" in entry
                for entry in archive.namelist()
            )
    except zipfile.BadZipFile:
        return False
