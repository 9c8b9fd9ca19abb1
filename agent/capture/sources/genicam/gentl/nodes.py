"""Nodes of GenApi, in the words of ``Device``."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from genicam import genapi, gentl

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import Kind, NodeError, NodeRecord, Value

T = TypeVar("T")
DONE_S = 3.0

_KINDS: Final[dict[type, Kind]] = {
    genapi.IBoolean: "boolean",
    genapi.IInteger: "integer",
    genapi.IFloat: "float",
    genapi.IEnumeration: "enumeration",
    genapi.IString: "string",
    genapi.ICommand: "command",
}
_READABLE = (genapi.EAccessMode.RO, genapi.EAccessMode.RW)
_WRITABLE = (genapi.EAccessMode.WO, genapi.EAccessMode.RW)
_NOT_THERE = (genapi.EAccessMode.NI, genapi.EAccessMode.NA)
_NOT_NOW = (
    genapi.AccessException,
    genapi.OutOfRangeException,
    genapi.InvalidArgumentException,
    genapi.LogicalErrorException,
    genapi.PropertyException,
    genapi.DynamicCastException,
    gentl.NotAvailableException,
    gentl.NotImplementedException,
    gentl.InvalidParameterException,
    gentl.InvalidAddressException,
    gentl.InvalidValueException,
)
"""What a camera that is there says of one node. All else is a camera that does not answer."""


def information(module: Any, name: str) -> str:
    """A text that a module of GenTL may or may not know; empty where it does not."""
    with suppress(gentl.GenericException):
        return str(getattr(module, name) or "")
    return ""


class GentlNodes:
    """A node map. ``NodeError`` of a node, ``SourceError`` of a camera that is gone."""

    def __init__(self, node_map: Any, shown: str = "the camera") -> None:
        self._map = node_map
        self._shown = shown
        self._names: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        if self._names is None:
            nodes = [] if self._map is None else self._map.nodes
            self._names = tuple(
                node.node.name for node in nodes if _kind(self._map, node.node.name) is not None
            )
        return self._names

    def node(self, name: str) -> NodeRecord:
        return self._asked(lambda: self._record(name))

    def read(self, name: str) -> Value:
        return self._asked(lambda: self._value(name))

    def write(self, name: str, value: Value) -> None:
        self._asked(lambda: setattr(self._node(name), "value", value))

    def execute(self, name: str) -> None:
        """Run a command and wait until it is done, but for a trigger: its end is the picture."""
        self._asked(lambda: self._node(name).execute())
        end = time.monotonic() + DONE_S
        while name != "TriggerSoftware" and not self._asked(lambda: self._node(name).is_done()):
            if time.monotonic() > end:
                raise NodeError(f"is not done after {DONE_S:g} s")
            time.sleep(DONE_S / 100)

    def selected(self, selector: str, number: int, name: str) -> Value | None:
        """The value of ``name`` under a number of its selector; None where there is none."""
        if not {selector, name} <= set(self.names()):
            return None
        with suppress(NodeError, SourceError):
            self.write(selector, number)
            return self.read(name)
        return None

    def _node(self, name: str) -> Any:
        if self._map is None or not self._map.has_node(name):
            raise NodeError("is not there")
        return self._map.get_node(name)

    def _value(self, name: str) -> Value:
        value = self._node(name).value
        if isinstance(value, bool | int | float | str):
            return value
        raise NodeError("has no value")

    def _record(self, name: str) -> NodeRecord:
        node = self._node(name)
        kind = _kind(self._map, name)
        mode = node.get_access_mode()
        if kind is None or mode in _NOT_THERE:
            raise NodeError("is not available")
        entries: tuple[str, ...] = ()
        minimum = maximum = increment = None
        unit = ""
        if kind == "enumeration":
            entries = tuple(
                one.symbolic
                for one in node.entries
                if one.get_access_mode() in (*_READABLE, *_WRITABLE)
            )
        elif kind in ("integer", "float"):
            minimum, maximum, unit = node.min, node.max, node.unit
            increment = node.inc if kind == "integer" else None
        return NodeRecord(
            name=name,
            kind=kind,
            readable=mode in _READABLE,
            writable=mode in _WRITABLE,
            minimum=minimum,
            maximum=maximum,
            increment=increment,
            entries=entries,
            unit=unit,
        )

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except _NOT_NOW as error:
            raise NodeError(_first_sentence(error)) from error
        except (genapi.GenericException, gentl.GenericException) as error:
            text = f"{self._shown} does not answer: {_first_sentence(error)}"
            raise SourceError("no_answer", text) from error


def _kind(node_map: Any, name: str) -> Kind | None:
    node = node_map.get_node(name)
    return next((kind for made, kind in _KINDS.items() if isinstance(node, made)), None)


def _first_sentence(error: Exception) -> str:
    """Without the source files of the library, which name nothing of a user's."""
    return str(error).partition(" : ")[0].partition(" (file")[0]
