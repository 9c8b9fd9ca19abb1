"""What a key may hold, in words, read off the models' JSON Schema; and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from agent.config.url import BROKER_FORMS, SOURCE_FORMS
from agent.config.yaml import KeyPath

_KEYS = {
    "broker": BROKER_FORMS,
    "source": SOURCE_FORMS,
    "region": "x, y (from 0), width, height (from 16): whole numbers, in pixels",
}
_PATTERNS = {
    r"^[A-Za-z0-9_-]{1,40}$": "1 to 40 letters, digits, _ or -",
    r"^[A-Za-z0-9_-]{1,60}$": "1 to 60 letters, digits, _ or -",
    r"^[^+/#$\s\x00-\x1f\x7f]{1,80}$": "1 to 80 characters without + / # $, blanks or controls",
    r"^[0-9a-f]{64}$": "64 hexadecimal digits in lower case",
    r"^[\w.]+:\w+$": "package.module:function",
    r"^(auto|cpu|cuda(:\d+)?)$": "auto, cpu, cuda or cuda:N",
    r"^(cpu|cuda:\d+)$": "cpu or cuda:N",
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
_ITEM = "[]"


class Words:
    """Answers about keys, by path. ``schema`` is ``Config.model_json_schema()``."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._definitions = schema.get("$defs", {})
        self._paths = tuple(self._all_paths(schema, ""))

    def at(self, path: KeyPath) -> Mapping[str, Any] | None:
        """The schema of one key, without its null alternative; None for an unknown key."""
        node: Mapping[str, Any] | None = self._root
        for step in path:
            node = self._child(self._resolve(node), step) if node is not None else None
        return None if node is None else self._resolve(node)

    def keys(self, path: KeyPath) -> tuple[str, ...]:
        """The keys that the section at ``path`` has."""
        node = self.at(path)
        return tuple(node.get("properties", ())) if node is not None else ()

    def is_secret(self, path: KeyPath) -> bool:
        node = self.at(path)
        return node is not None and node.get("format") == "password"

    def is_section(self, path: KeyPath) -> bool:
        node = self.at(path)
        return node is not None and node.get("type") == "object"

    def takes_bool(self, path: KeyPath) -> bool:
        node = self.at(path)
        return node is None or node.get("type") == "boolean"

    def allowed(self, path: KeyPath) -> str:
        """What ``path`` may hold, or the empty text for an unknown key."""
        node: Mapping[str, Any] | None = self.at(path)
        if node is None:
            return ""
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        text = _KEYS.get(key) or self._describe(node)
        if key not in _KEYS and node.get("type") in ("integer", "number"):
            text += next((f" ({unit})" for end, unit in _UNITS.items() if key.endswith(end)), "")
        parent = self.at(path[:-1])
        raw = self._child(parent, path[-1]) if parent is not None and path else None
        nullable = raw is not None and {"type": "null"} in raw.get("anyOf", ())
        return f"{text}, or null" if nullable else text

    def nearest(self, path: KeyPath) -> str:
        """The valid key that an unknown one most likely means, with its whole path; or empty."""
        *section, key = path
        if not isinstance(key, str):
            return ""
        close = difflib.get_close_matches(key, self.keys(tuple(section)), n=1, cutoff=0.6)
        if close:
            return path_text((*section, close[0]))
        by_key: dict[str, str] = {}
        for known in self._paths:
            by_key.setdefault(known.rpartition(".")[2], known)
        elsewhere = difflib.get_close_matches(key, by_key, n=1, cutoff=0.85)
        return by_key[elsewhere[0]] if elsewhere else ""

    def paths(self) -> tuple[str, ...]:
        """Every key of the configuration, as ``cameras[].lanes[].region``."""
        return self._paths

    def _all_paths(self, node: Mapping[str, Any], prefix: str) -> Iterator[str]:
        node = self._resolve(node)
        if "items" in node:
            yield from self._all_paths(node["items"], prefix + _ITEM)
        for key, child in node.get("properties", {}).items():
            place = f"{prefix}.{key}" if prefix else key
            yield place
            yield from self._all_paths(child, place)

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while True:
            if "$ref" in node:
                node = self._definitions[node["$ref"].rpartition("/")[2]]
            elif "anyOf" in node:
                node = next(part for part in node["anyOf"] if part.get("type") != "null")
            else:
                return node

    @staticmethod
    def _child(node: Mapping[str, Any], step: str | int) -> Mapping[str, Any] | None:
        if isinstance(step, str):
            child = node.get("properties", {}).get(step)
        else:
            several = node.get("prefixItems", ())
            child = several[step] if 0 <= step < len(several) else node.get("items")
        return child if isinstance(child, Mapping) else None

    def _describe(self, node: Mapping[str, Any]) -> str:
        node = self._resolve(node)
        if "enum" in node:
            return "one of " + ", ".join(str(value) for value in node["enum"])
        kind = node.get("type")
        if kind in ("integer", "number"):
            return ("a whole number" if kind == "integer" else "a number") + _range(node)
        if kind == "boolean":
            return "true or false"
        if kind == "array":
            several = node.get("prefixItems")
            if several:
                return "a list of " + "; ".join(self._describe(item) for item in several)
            return "a list, each item: " + self._describe(node.get("items", {}))
        if kind == "object":
            return "a mapping of keys: " + ", ".join(node.get("properties", ()))
        if node.get("format") == "path":
            return "a path"
        pattern = node.get("pattern")
        return _PATTERNS.get(pattern, f"text that matches {pattern}") if pattern else "text"


def path_text(path: KeyPath) -> str:
    """``("cameras", 1, "fps")`` -> ``cameras[1].fps``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _range(node: Mapping[str, Any]) -> str:
    words = (
        ("exclusiveMinimum", "above"),
        ("minimum", "from"),
        ("exclusiveMaximum", "below"),
        ("maximum", "up to"),
    )
    parts = [f"{word} {node[key]:.10g}" for key, word in words if key in node]
    return " " + ", ".join(parts) if parts else ""
