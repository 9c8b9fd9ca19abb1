"""YAML text -> plain values and the line of each, with every fault named by its line.

Narrower than PyYAML on purpose. Scalars follow YAML 1.2's core schema (``on``, ``no`` and
``12:30`` stay text, ``1e-3`` is a number), a duplicate key is an error, tags are refused, and depth
and size are capped, so that a file can neither run code nor eat the memory. Anchors, aliases and
merge keys work. No message repeats a value, because a value may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import yaml

TEXT_LIMIT_BYTES = 256_000
NODE_LIMIT = 20_000
DEPTH_LIMIT = 32

KeyPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("null", r"^(?:~|null|Null|NULL|)$"),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    ),
    ("merge", r"^<<$"),
)
_SCALARS: dict[str, Callable[[str], Hashable]] = {
    "str": str,
    "null": lambda _: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": lambda text: int(text, 0) if text[:2] in ("0x", "0o") else int(text),
    "float": lambda text: float(re.sub(r"\.(?=inf|nan)", "", text.lower())),
}
_NO_TAG = "a tag (text after !), which is not allowed here"
_SYNTAX = {  # what PyYAML says, in part: what it means for a configuration; the first that fits
    "mapping values are not allowed": (
        'a colon that can begin no value: text that ends with one needs quotes ("sim:"); or the '
        "line is indented too far"
    ),
    "expected <block end>": "the indentation does not fit the lines above",
    "but got '?'": 'a question mark in text that needs quotes inside of { } ("FOLDER?watch=1")',
    "undefined alias": (
        "text that begins with * needs quotes; it reads as an alias without an anchor"
    ),
    r"'\t'": "a tab where only blanks may indent",
    "expected a single document": "a second document begins; one file holds one",
    "duplicate anchor": "an anchor that is defined twice; text that begins with & needs quotes",
    "quoted scalar": "a quote that is opened here and not closed",
    "tag": "a tag; text that begins with ! needs quotes",
}


@dataclass(frozen=True, slots=True)
class YamlFault:
    """One thing that is wrong with the text itself. ``line`` counts from 1; 0: the whole file."""

    line: int
    message: str
    path: KeyPath = ()


class YamlError(Exception):
    """A text that holds no usable mapping; ``faults`` has at least one entry."""

    def __init__(self, faults: list[YamlFault]) -> None:
        super().__init__("; ".join(f"line {f.line}: {f.message}" for f in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file and where each stands."""

    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """The line of ``path``, or of the nearest thing around it that has one; 0 if none has."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0


class _Loader(yaml.SafeLoader):
    """Composes nodes only; the resolvers of YAML 1.1 are replaced by those of the core schema."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own registry
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise YamlError([YamlFault(mark.line + 1, f"nested deeper than {DEPTH_LIMIT} levels")])
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


for _name, _pattern in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), None)


def read_yaml(raw: bytes) -> Document:
    """Return the mapping that ``raw`` holds; an empty text is an empty mapping.

    ``YamlError`` names every duplicate key, odd key and tag at once, or the first fault of syntax.
    """
    if len(raw) > TEXT_LIMIT_BYTES:
        raise YamlError([YamlFault(0, f"is larger than {TEXT_LIMIT_BYTES:,} bytes")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError([YamlFault(line, "is not text in UTF-8")]) from error
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise YamlError([_syntax_fault(error)]) from error
    builder = _Builder()
    data = None if root is None else builder.build(root, ())
    if not isinstance(data, dict | None):
        builder.faults.append(YamlFault(1, "is not a mapping of keys to values"))
    if builder.faults:
        raise YamlError(builder.faults)
    return Document(data or {}, builder.lines)


def _syntax_fault(error: yaml.YAMLError) -> YamlFault:
    if isinstance(error, yaml.reader.ReaderError):
        return YamlFault(0, f"holds a control character at position {error.position}")
    if not isinstance(error, yaml.MarkedYAMLError):
        return YamlFault(0, "is no YAML")
    context, problem = error.context or "", error.problem or "is no YAML"
    mark = error.problem_mark or error.context_mark
    if "quoted scalar" in context:
        mark = error.context_mark  # where the quote stands; the problem is at the end of the file
    said = f"{problem}, {context}"
    meaning = next((meaning for sign, meaning in _SYNTAX.items() if sign in said), problem)
    return YamlFault(mark.line + 1 if mark is not None else 0, meaning)


class _Builder:
    """Turns nodes into values, collecting every fault instead of stopping at the first."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.faults: list[YamlFault] = []
        self._nodes = 0
        self._open: list[int] = []  # ids of the nodes around the one being built

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            fault = YamlFault(
                _line(node), f"holds more than {NODE_LIMIT:,} values, aliases expanded"
            )
            raise YamlError([*self.faults, fault])
        if id(node) in self._open:
            self._fault(node, path, "an alias that contains itself")
            return None
        self.lines.setdefault(path, _line(node))
        self._open.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.build(item, (*path, i)) for i, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, path)
        finally:
            self._open.pop()
        self._fault(node, path, _NO_TAG)
        return None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                merged = self._merge(value_node, path) | merged
                continue
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag != f"{_TAG}str":
                self._fault(key_node, path, "a key that is not text")
                continue
            place = (*path, key)
            if key in own:
                first = self.lines[place]
                self._fault(key_node, place, f"is given twice, first in line {first}")
                continue
            self.lines[place] = _line(key_node)
            own[key] = self.build(value_node, place)
        return merged | own

    def _merge(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """The keys of ``<<: *anchor``, or of ``<<: [*first, *second]``, where the first wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        result: dict[str, Any] = {}
        for part in parts:
            value = self.build(part, path)
            if not isinstance(value, dict):
                self._fault(part, path, "<< takes a mapping or a list of mappings")
                continue
            result = value | result
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Hashable:
        kind = node.tag.removeprefix(_TAG)
        if kind not in _SCALARS:
            self._fault(node, path, _NO_TAG)
            return None
        try:
            return _SCALARS[kind](node.value)
        except (ValueError, KeyError):  # an explicit tag on a wrong text, or thousands of digits
            self._fault(node, path, f"is no {kind} that can be read")
            return None

    def _fault(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.faults.append(YamlFault(_line(node), message, path))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
