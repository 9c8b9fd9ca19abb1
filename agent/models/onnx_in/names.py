"""Names for the layers of a network that was an ONNX graph: those that they had before."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

from torch import nn

SCOPES = "pkg.torch.onnx.name_scopes"
"""Where torch's exporter notes the modules around an operation."""
_BARE = nn.Module()


def layer_labels(model: Any) -> list[str]:
    """A dotted name for each node, each once: the module it was exported from, as torch's exporters
    note it or as the node's own path says.

    The last operation of a module has the module's name, others of the same one its own behind it;
    one between the modules of another stands beside those.
    """
    places = [_place(node) for node in model.graph.node]
    last = {scope: index for index, (scope, _) in enumerate(places)}
    holders = {scope[:end] for scope, _ in places for end in range(len(scope))}
    taken: Counter[str] = Counter()
    labels = []
    for index, (scope, own) in enumerate(places):
        if not scope or scope in holders:
            label = ".".join((*scope, own))
        else:
            label = ".".join(scope) if last[scope] == index else f"{'.'.join(scope)}__{own}"
        taken[label] += 1
        labels.append(label if taken[label] == 1 else f"{label}_{taken[label] - 1}")
    return labels


def _place(node: Any) -> tuple[tuple[str, ...], str]:
    """The names of the modules around a node, and its own."""
    noted = next((one.value for one in node.metadata_props if one.key == SCOPES), "")
    scopes = re.findall(r"'([^']*)'", noted)
    if len(scopes) >= 2:
        around, own = scopes[-2].split("."), scopes[-1]
    else:
        *steps, own = (node.name or node.op_type).split("/")
        # A list of modules stands twice in such a path: "layer4/layer4.1".
        kept = [a for a, b in pairwise((*steps, "")) if not b.startswith(f"{a}.")]
        around = ".".join(kept).split(".")
    return tuple(_word(part) for part in around if part), _word(own or node.op_type)


def _word(text: str) -> str:
    """A name that a submodule may have."""
    word = re.sub(r"\W", "_", text)[:80] or "_"
    return f"{word}_" if hasattr(_BARE, word) or word == "initializers" else word
