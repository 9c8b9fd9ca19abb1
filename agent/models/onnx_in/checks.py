"""What an ONNX file must be before anything is built from it.

The file is data: a graph of standard operators and their tensors. Refused are operators of other
domains, functions of its own, tensors in files outside its folder, sizes beyond a cap, and more
than one input, each in one line. ``onnx`` is handed in as ``lib``, for it is an extra.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agent.config import Preprocessing
from agent.models.errors import ModelError, first_line
from agent.models.files import read_file
from agent.models.pictures import channels_of

TENSORS_LIMIT_BYTES = 2**31 - 1
"""All tensors together: protobuf itself takes no more."""
NODES_LIMIT = 20_000
VALUES_LIMIT = 2**29
"""Of one intermediate tensor for one picture: 2 GiB in float32."""
DOMAINS = ("", "ai.onnx")


def parsed(lib: Any, data: bytes, name: str) -> Any:
    """The file as a ``ModelProto`` of standard operators within the caps."""
    try:
        model = lib.ModelProto.FromString(data)
    except Exception as error:  # protobuf's implementations raise each their own
        raise ModelError(f"{name}: not an ONNX file: {_line(error)}") from error
    if not model.graph.node:
        raise ModelError(f"{name}: not an ONNX file: it holds no graph")
    if len(model.graph.node) > NODES_LIMIT:
        raise ModelError(
            f"{name}: {len(model.graph.node)} operations, more than the {NODES_LIMIT} allowed"
        )
    foreign = {node.domain for node in model.graph.node} - set(DOMAINS)
    if foreign:
        raise ModelError(
            f"{name}: operators of {', '.join(sorted(foreign))}: only those of the ONNX standard "
            "are known"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{name}: holds sparse tensors: expected plain ones")
    if model.functions:
        raise ModelError(
            f"{name}: holds functions of its own: write them out with "
            "onnx.inliner.inline_local_functions"
        )
    return model


def tensor_files(lib: Any, model: Any, path: Path) -> tuple[bytes, ...]:
    """Read into ``model`` the tensors that lie in files beside ``path``; the contents of those
    files in the order of their names, which are part of what the model is."""
    name, external = str(path), lib.TensorProto.EXTERNAL
    for node in model.graph.node:
        for tensor in _tensors_of(node):
            if tensor.data_location == external:
                raise ModelError(f"{name}: {node.name or node.op_type}: a constant in another file")
    outside = [one for one in model.graph.initializer if one.data_location == external]
    places = {one.name: _place(one, path) for one in outside}
    contents: dict[str, bytes] = {}
    total = model.ByteSize()
    for location in sorted({place[0] for place in places.values()}):
        file = _inside(path, location)
        total += _size(file, name)
        if total > TENSORS_LIMIT_BYTES:
            raise ModelError(f"{name}: more than the {TENSORS_LIMIT_BYTES} bytes allowed")
        contents[location] = read_file(file)
    for one in outside:
        location, offset, length = places[one.name]
        whole = contents[location]
        length = len(whole) - offset if length is None else length
        if not 0 <= offset <= offset + length <= len(whole):
            raise ModelError(
                f"{name}: {one.name}: bytes {offset} to {offset + length} of {location}, which has "
                f"{len(whole)}"
            )
        one.raw_data = whole[offset : offset + length]
        one.data_location = lib.TensorProto.DEFAULT
        del one.external_data[:]
    for one in model.graph.initializer:
        if any(size < 0 for size in one.dims) or math.prod(one.dims) > TENSORS_LIMIT_BYTES:
            raise ModelError(f"{name}: {one.name}: a tensor of shape {tuple(one.dims)}")
    return tuple(contents[location] for location in sorted(contents))


def check_input(lib: Any, model: Any, settings: Preprocessing, name: str) -> bool:
    """Whether the network takes any number of pictures at once; ``ModelError`` where its input is
    none that ``settings`` makes."""
    held = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise ModelError(f"{name}: takes {len(inputs)} inputs ({names}): expected one picture")
    (given,) = inputs
    kind = given.type.tensor_type
    if kind.elem_type != lib.TensorProto.FLOAT:
        found = lib.TensorProto.DataType.Name(kind.elem_type).lower()
        raise ModelError(f"{name}: {given.name}: takes {found}: expected float32")
    sizes = [_fixed(one) for one in kind.shape.dim]
    made = (None, channels_of(settings), settings.height_px, settings.width_px)
    if kind.HasField("shape") and (
        len(sizes) != 4
        or any(None not in (a, b) and a != b for a, b in zip(sizes, made, strict=True))
    ):
        shape = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ModelError(
            f"{name}: {given.name}: takes ({shape}), but the preprocessing makes pictures of "
            f"{made[1]} channels, {made[2]} high and {made[3]} wide"
        )
    batch = sizes[0] if sizes else None
    if batch not in (None, 1):
        raise ModelError(f"{name}: {given.name}: takes exactly {batch} pictures at once")
    return batch is None


class Known(NamedTuple):
    """The type of a tensor's elements as the file numbers it, and its shape for one picture and,
    where the network takes two, for two."""

    kind: int
    shapes: list[tuple[int, ...]]


Shapes = dict[str, Known]


def sizes(
    lib: Any, model: Any, settings: Preprocessing, name: str, batches: tuple[int, ...]
) -> Shapes:
    """The shape of every tensor, as far as it is known, for each of ``batches`` pictures.

    ``ModelError`` where one would be beyond the cap. What the file itself says of shapes inside is
    taken away: it may be wrong.
    """
    del model.graph.value_info[:]
    for one in model.graph.output:
        one.type.tensor_type.ClearField("shape")
    found: Shapes = {}
    for batch in batches:
        for value, kind, shape in _inferred(lib, model, settings, name, batch):
            if math.prod(shape) > VALUES_LIMIT * batch:
                raise ModelError(
                    f"{name}: {value}: {math.prod(shape)} values, more than the {VALUES_LIMIT} "
                    "allowed for one picture"
                )
            found.setdefault(value, Known(kind, [])).shapes.append(shape)
    return {value: one for value, one in found.items() if len(one.shapes) == len(batches)}


def tell_shapes(model: Any, known: Shapes) -> None:
    """Note in ``model`` the shapes of its tensors, open where they depend on the number of
    pictures: from operators alone not all of them follow, and the converter needs them."""
    results = {one.name for one in (*model.graph.input, *model.graph.output)}
    for node in model.graph.node:
        for value in set(node.output) & known.keys() - results:
            tensor = model.graph.value_info.add(name=value).type.tensor_type
            tensor.elem_type = known[value].kind
            for sizes_of_one in _by_axis(known[value].shapes):
                dim = tensor.shape.dim.add()
                if len(set(sizes_of_one)) == 1:
                    dim.dim_value = sizes_of_one[0]


def _by_axis(shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Of each axis its sizes; none where not even the number of axes is the same."""
    same = len({len(shape) for shape in shapes}) == 1
    return list(zip(*shapes, strict=True)) if same else []


def _inferred(
    lib: Any, model: Any, settings: Preprocessing, name: str, batch: int
) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    sized = lib.ModelProto()
    sized.CopyFrom(model)
    held = {one.name for one in model.graph.initializer}
    (given,) = (one for one in sized.graph.input if one.name not in held)
    shape = given.type.tensor_type.shape
    del shape.dim[:]
    for size in (batch, channels_of(settings), settings.height_px, settings.width_px):
        shape.dim.add().dim_value = size
    try:
        done = lib.shape_inference.infer_shapes(sized, data_prop=True).graph
    except Exception as error:  # whatever a broken graph makes the library raise
        raise ModelError(f"{name}: its operations do not fit together: {_line(error)}") from error
    for one in (*done.value_info, *done.output, given):
        if one.type.tensor_type.HasField("shape"):
            dims = [_fixed(size) for size in one.type.tensor_type.shape.dim]
            if None not in dims:
                sizes_known = tuple(size for size in dims if size is not None)
                yield one.name, one.type.tensor_type.elem_type, sizes_known


def _place(tensor: Any, path: Path) -> tuple[str, int, int | None]:
    """File, offset and length of a tensor that lies in another file."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    try:
        length = int(said["length"]) if "length" in said else None
        return said["location"], int(said.get("offset", "0")), length
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: {tensor.name}: lies in another file, but not where") from error


def _inside(path: Path, location: str) -> Path:
    """The file of that name in the folder of ``path``, links followed."""
    try:
        folder = path.resolve().parent
        file = (path.parent / location).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: {location!r} is no name of a file") from error
    if Path(location).is_absolute() or not file.is_relative_to(folder):
        raise ModelError(
            f"{path}: its tensors are in {location}, outside of its folder: they are read from "
            "files beside it alone"
        )
    return file


def _size(file: Path, name: str) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise ModelError(
            f"{name}: its tensors are in {file.name}, which cannot be read: {error.strerror}"
        ) from error


def _tensors_of(node: Any) -> Iterator[Any]:
    """The tensors in a node's attributes. Graphs in them belong to operators that have no form in
    torch, and are never looked into."""
    for attribute in node.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def _fixed(size: Any) -> int | None:
    return size.dim_value if size.HasField("dim_value") else None


def _line(error: Exception) -> str:
    return first_line(error) or type(error).__name__
