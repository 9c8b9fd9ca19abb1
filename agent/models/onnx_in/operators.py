"""The operators of a graph in the forms that onnx2torch has modules for.

It knows few forms later than ``OPSET``, so those are read as they were there, where they say no
more than it could. What has no form in torch, or one that means something else, is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from agent.models.errors import ModelError

OPSET = 17


def lowered(lib: Any, model: Any, name: str) -> Any:
    """``model`` with every operator in the form of ``OPSET``; ``ModelError`` naming one that says
    what could not be said there."""
    versions = {one.domain: one.version for one in model.opset_import}
    version = versions.get("", versions.get("ai.onnx", 0))
    del model.opset_import[:]
    model.opset_import.add(domain="", version=min(version, OPSET))
    for node in model.graph.node:
        node.domain = ""
    if version <= OPSET:
        return model
    constants = {one.name: one for one in model.graph.initializer}
    for node in model.graph.node:
        try:
            new = lib.defs.get_schema(node.op_type, version, "")
            old = lib.defs.get_schema(node.op_type, OPSET, "")
        except lib.defs.SchemaError:
            continue  # told with all that have no form in torch
        if new.since_version > OPSET:
            _axes_as_attribute(lib, node, old, constants)
            for attribute in list(node.attribute):
                if attribute.name not in old.attributes:
                    _drop(lib, node, attribute, new, name)
            if len(node.input) > old.max_input:
                raise ModelError(
                    f"{name}: {node.op_type} {node.name}: {len(node.input)} inputs, which it has "
                    f"only after opset {OPSET}"
                )
    return model


def without_copies(model: Any) -> Any:
    """``model`` without the operations that hand on what they are given, or a tensor of their own:
    the converter looks for weights among the file's tensors alone."""
    results = {one.name for one in model.graph.output}
    same: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        for place, value in enumerate(node.input):
            node.input[place] = same.get(value, value)
        if node.op_type == "Identity" and node.output[0] not in results:
            same[node.output[0]] = node.input[0]
        elif node.op_type == "Constant" and node.attribute[0].HasField("t"):
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def constants(lib: Any, model: Any) -> dict[str, NDArray[Any]]:
    """The tensors by which an operator says how it works, by name; not its weights."""
    held = {one.name: one for one in model.graph.initializer}
    return {
        value: lib.numpy_helper.to_array(held[value])
        for node in model.graph.node
        for value in node.input[1:]
        if node.op_type in ("Resize", "Reshape", "Slice") and value in held
    }


def _axes_as_attribute(lib: Any, node: Any, old: Any, constants: dict[str, Any]) -> None:
    """Reductions have their axes as an input since opset 18."""
    if "axes" in old.attributes and len(node.input) == old.max_input + 1:
        tensor = constants.get(node.input[-1])
        if tensor is not None:
            axes = lib.numpy_helper.to_array(tensor).tolist()
            node.attribute.append(lib.helper.make_attribute("axes", axes))
            del node.input[-1]


def _drop(lib: Any, node: Any, attribute: Any, new: Any, name: str) -> None:
    """Take away an attribute that says what holds without it."""
    value = lib.helper.get_attribute_value(attribute)
    default = new.attributes[attribute.name].default_value
    usual = lib.helper.get_attribute_value(default) if default.name else None
    if (node.op_type, attribute.name) == ("Split", "num_outputs"):
        usual = len(node.output)  # into equal parts, as without it
    if value != usual:
        said = value.decode(errors="replace") if isinstance(value, bytes) else value
        raise ModelError(
            f"{name}: {node.op_type} {node.name}: {attribute.name} {said}, which it has only after "
            f"opset {OPSET}"
        )
    node.attribute.remove(attribute)


def check_operators(registry: Any, model: Any, name: str) -> None:
    """Raise ``ModelError`` naming every operator without a form in torch."""
    (used,) = (one.version for one in model.opset_import)
    missing = set()
    for node in model.graph.node:
        try:
            registry.get_converter(node.op_type, used, "")
        except NotImplementedError:
            missing.add(node.op_type)
    if missing:
        raise ModelError(f"{name}: no form in torch for: {', '.join(sorted(missing))}")
    for node in model.graph.node:
        if said := next(_another_meaning(node), ""):
            raise ModelError(f"{name}: {node.op_type} {node.name}: {said} has no form in torch")


_SMOOTH: dict[str, tuple[bytes, ...]] = {
    "coordinate_transformation_mode": (b"half_pixel", b"pytorch_half_pixel", b"align_corners")
}
RESIZE: dict[str, dict[str, tuple[bytes, ...]]] = {
    "nearest": {"coordinate_transformation_mode": (b"asymmetric",), "nearest_mode": (b"floor",)},
    "linear": _SMOOTH,
    "cubic": _SMOOTH,
}
"""What torch's interpolation does, by mode."""
RESIZE_DEFAULTS = {
    "mode": b"nearest",
    "coordinate_transformation_mode": b"half_pixel",
    "nearest_mode": b"round_prefer_floor",
}


def _another_meaning(node: Any) -> Iterator[str]:
    """What a node says that the module made of it would do otherwise, without a word."""
    given = {one.name: one for one in node.attribute}
    if node.op_type == "Resize":
        words = {key: given[key].s if key in given else usual
                 for key, usual in RESIZE_DEFAULTS.items()}  # fmt: skip
        mode = words["mode"].decode(errors="replace")
        for key, fitting in RESIZE.get(mode, {"mode": ()}).items():
            if words[key] not in fitting:
                yield f"mode {mode} with {key} {words[key].decode(errors='replace')}"
        if "exclude_outside" in given and given["exclude_outside"].i:
            yield "exclude_outside"
        if "cubic_coeff_a" in given and abs(given["cubic_coeff_a"].f + 0.75) > 1e-6:
            yield f"cubic_coeff_a {given['cubic_coeff_a'].f:g}"
