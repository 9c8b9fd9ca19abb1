"""The state dict inside of a checkpoint, under the names that its module has.

Training scripts put it under a key beside the optimiser's state, and wrappers of the module
(DataParallel, torch.compile, an average of the weights, a Lightning module) put their own name
before every key. Both are taken off, in whatever order they lie around each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from agent.models.errors import ModelError

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "weights",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema_model",
    "ema",
)
"""Keys under which a checkpoint holds its weights; of several the first in this order, so that an
average of the weights is taken only where nothing else is there."""
PREFIXES = (
    "module.",
    "_orig_mod.",
    "_forward_module.",
    "model.",
    "net.",
    "network.",
    "ema_model.",
    "ema.",
)
"""What a wrapper puts before every key."""
INSIDE = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch's wrappers of single layers leave inside of a key; no layer is called so."""
COUNTER = "n_averaged"
"""torch.optim.swa_utils.AveragedModel counts in a buffer of its own."""
DEEPEST = 8
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.bool, torch.int16, torch.int32, torch.int64)


def unwrapped(raw: Mapping[Any, Any], name: str) -> dict[str, Tensor]:
    """The innermost mapping of a checkpoint that a wrapper's key leads to, as named tensors."""
    for _ in range(DEEPEST):
        inside = (raw.get(wrapper) for wrapper in WRAPPERS)
        inner = next((one for one in inside if isinstance(one, Mapping) and one), None)
        if inner is None:
            break
        raw = inner
    state: dict[str, Tensor] = {}
    for key, value in raw.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ModelError(
                f"{name}: {key}: a state dict holds named tensors, found {type(value).__name__}"
            )
        state[key] = value
    if not state:
        raise ModelError(f"{name}: holds no weights")
    return state


def bare(state: Mapping[str, Tensor], name: str, wanted: Collection[str] = ()) -> dict[str, Tensor]:
    """``state`` without what wrappers put before its keys: as long as all keys have it, or, of a
    module whose keys ``wanted`` are known, in the form that fits most of them, for a module may
    call a part of its own ``model``.
    """
    forms = [dict(state)]
    while (shorter := _shorter(forms[-1])) is not None:
        if len(shorter) < len(forms[-1]) - (COUNTER in forms[-1]):
            raise ModelError(f"{name}: two weights have the same name without their prefixes")
        forms.append(shorter)
    if not wanted:
        return forms[-1]
    known = frozenset(wanted)
    return max(forms, key=lambda form: 2 * len(known & form.keys()) - len(form))


def _shorter(state: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """One layer of wrapping less; None where there is none."""
    if COUNTER in state and len(state) > 1:
        return {key: value for key, value in state.items() if key != COUNTER}
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            return {key.removeprefix(prefix): value for key, value in state.items()}
    for part in INSIDE:
        if any(part in key for key in state):
            return {key.replace(part, ""): value for key, value in state.items()}
    return None


def check_kinds(state: Mapping[str, Tensor], name: str) -> None:
    """Raise ``ModelError`` naming the first weight that is none of a network in floating point:
    quantized, sparse, complex, float8, or bytes."""
    for key, value in state.items():
        what = str(value.dtype).removeprefix("torch.")
        if value.layout is not torch.strided:
            what = f"{str(value.layout).removeprefix('torch.')} {what}"
        elif value.dtype in FLOATS or value.dtype in WHOLE:
            continue
        raise ModelError(
            f"{name}: {key}: {what} values: expected plain tensors of float32 (or float16, "
            "bfloat16, float64)"
        )


def check_against(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise ``ModelError`` where whole numbers stand for weights, or the reverse: torch copies the
    one into the other without a word."""
    for key, value in state.items():
        own = wanted.get(key)
        if own is not None and own.is_floating_point() != value.is_floating_point():
            what = (str(value.dtype).removeprefix("torch."), str(own.dtype).removeprefix("torch."))
            raise ModelError(f"{key}: {what[0]} values where the network has {what[1]}")
