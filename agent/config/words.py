"""What a key may hold, in words, read off the models' JSON Schema; and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from agent.config.models import Config
from agent.config.url import BROKER_FORMS, SOURCE_FORMS
from agent.config.values import path_text
from agent.config.yaml import KeyPath
from agent.nearest import nearest as nearest_name

_REGION = "x, y (from 0), width, height (from 16): whole numbers, in pixels"
_KEYS = {
    "broker": BROKER_FORMS,
    "source": SOURCE_FORMS,
    "region": _REGION,
    "roi": _REGION,
}
_UNITS = {  # the first that fits
    "mm_per_px": "mm per pixel",
    "_s": "seconds",
    "_ms": "milliseconds",
    "_deg": "degrees",
    "_px": "pixels",
    "_mb": "MB",
    "_bytes": "bytes",
}
Node = Mapping[str, Any]
"""A schema of the JSON Schema."""
_ITEM = 0
"""The step in a generic path that stands for any item of a list."""


def at(path: KeyPath) -> Node:
    """The schema of one key, without its null alternative; empty for an unknown key."""
    return _nodes().get(_generic(path), {})


def keys(path: KeyPath) -> tuple[str, ...]:
    """The keys that the section at ``path`` has."""
    return tuple(at(path).get("properties", ()))


def is_secret(path: KeyPath) -> bool:
    return at(path).get("format") == "password"


def is_path(path: KeyPath) -> bool:
    """Whether a key is a path, or one of a mapping of names to paths."""
    of_names: Mapping[str, Node] = at(path[:-1]).get("patternProperties", {})
    return any(node.get("format") == "path" for node in (at(path), *of_names.values()))


def is_section(path: KeyPath) -> bool:
    """True where a mapping is wanted and null is none."""
    node = at(path)
    return node.get("type") == "object" and not node.get("nullable")


def takes_bool(path: KeyPath) -> bool:
    return at(path).get("type") in (None, "boolean")


def allowed(path: KeyPath) -> str:
    """What ``path`` may hold, or the empty text for an unknown key."""
    node = at(path)
    if not node:
        return ""
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    text = _KEYS.get(key)
    if text is None:
        text = _describe(_generic(path))
        if node.get("type") in ("integer", "number"):
            units = (f" ({unit})" for end, unit in _UNITS.items() if key.endswith(end))
            text += next(units, "")
    return f"{text}, or null" if node.get("nullable") else text


def nearest(path: KeyPath) -> str:
    """The valid key that an unknown one most likely means, with its whole path; or empty."""
    section, key = path[:-1], str(path[-1])
    if close := nearest_name(key, keys(section)):
        return path_text((*section, close))
    by_key = {known.rpartition(".")[2]: known for known in reversed(all_paths())}
    elsewhere = difflib.get_close_matches(key, by_key, n=1, cutoff=0.85)
    return by_key[elsewhere[0]] if elsewhere else ""


def nearest_value(path: KeyPath, value: str) -> str:
    """The value that an unknown one most likely means, where a key has a list of them; or empty."""
    return nearest_name(value, [str(one) for one in at(path).get("enum", ())])


def all_paths() -> tuple[str, ...]:
    """Every key of the configuration, as ``cameras[].lanes[].region``."""
    found = (path for path in _nodes() if path and path[-1] != _ITEM)
    return tuple(path_text(path).replace(f"[{_ITEM}]", "[]") for path in found)


@cache
def _nodes() -> dict[KeyPath, Node]:
    """The schema of everything that a configuration may hold, by generic path."""
    schema = Config.model_json_schema()

    def walk(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, Node]]:
        node = _resolved(node, schema["$defs"])
        yield path, node
        children = dict(node.get("properties", {}))
        if node.get("type") == "array":
            children[_ITEM] = node["items"] if "items" in node else node["prefixItems"][0]
        for step, child in children.items():
            yield from walk(child, (*path, step))

    return dict(walk(schema, ()))


def _resolved(node: Node, definitions: Mapping[str, Node]) -> Node:
    if "$ref" in node:
        return _resolved(definitions[node["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in node:
        part = next(part for part in node["anyOf"] if part.get("type") != "null")
        return {**_resolved(part, definitions), "nullable": {"type": "null"} in node["anyOf"]}
    return node


def _generic(path: KeyPath) -> KeyPath:
    """The same for every item of a list."""
    return tuple(_ITEM if isinstance(step, int) else step for step in path)


def _describe(path: KeyPath) -> str:
    node = _nodes()[path]
    if "enum" in node:
        return "one of " + ", ".join(str(value) for value in node["enum"])
    if node.get("format") == "path":
        return "a path"
    match node.get("type"):
        case "integer":
            return "a whole number" + _range(node)
        case "number":
            return "a number" + _range(node)
        case "boolean":
            return "true or false"
        case "array":
            return "a list, each item: " + _describe((*path, _ITEM))
        case "object":
            return "a mapping of keys: " + ", ".join(node.get("properties", ()))
    pattern = node.get("pattern")
    return node.get("words") or (f"text that matches {pattern}" if pattern else "text")


def _range(node: Mapping[str, Any]) -> str:
    words = (
        ("exclusiveMinimum", "above"),
        ("minimum", "from"),
        ("exclusiveMaximum", "below"),
        ("maximum", "up to"),
    )
    parts = [f"{word} {node[key]:.10g}" for key, word in words if key in node]
    return " " + ", ".join(parts) if parts else ""
