"""Nodes written one after the other: checked before, read back after, each error with its place."""

from __future__ import annotations

import math
from collections.abc import Iterable

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import Device, NodeError, NodeRecord, Value
from agent.capture.sources.genicam.setup import Write
from agent.nearest import nearest

READ_BACK_SHARE = 1e-3
"""A float that comes back closer than this is what was written: cameras count in steps."""
_TRUE, _FALSE = ("1", "true", "on", "yes"), ("0", "false", "off", "no")
SHOWN = 40


def apply(device: Device, writes: Iterable[Write]) -> list[str]:
    """Write all, in order. Return what came back otherwise, one line each.

    ``SourceError`` (``feature``) for a write that is needed and cannot be: permanent, unless the
    camera only cannot do it now.
    """
    told: list[str] = []
    for write in writes:
        try:
            told += _apply(device, write)
        except _Refused as refused:
            if write.needed:
                detail = f"{write.option}: {refused}"
                raise SourceError("feature", detail, permanent=refused.permanent) from refused
    return told


class _Refused(Exception):  # noqa: N818 - becomes a SourceError, or nothing
    def __init__(self, text: str, permanent: bool = True) -> None:
        super().__init__(text)
        self.permanent = permanent


def _apply(device: Device, write: Write) -> list[str]:
    names = device.names()
    name = next((one for one in write.names if one in names), "")
    if not name:
        wanted = write.names[0]
        near = nearest(wanted, names)
        raise _Refused(f"the camera has no feature {wanted}" + _meant(near))
    try:
        node = device.node(name)
    except NodeError as error:
        raise _Refused(f"{name} is not there now: {error}", permanent=False) from error
    if not node.writable:
        raise _Refused(f"{name} is read-only" + _said(device, node), permanent=node.readable)
    value = _converted(node, write.value)
    try:
        if node.kind == "command":
            device.execute(name)
            return []
        device.write(name, value)
    except NodeError as error:
        raise _Refused(f"{name} does not take {value}: {error}", permanent=False) from error
    return _read_back(device, node, value)


def _converted(node: NodeRecord, value: Value) -> Value:
    """The value in the type of its node. ``_Refused`` with its range or what it may be."""
    text = str(value).strip()
    match node.kind:
        case "boolean":
            if text.lower() in (*_TRUE, *_FALSE):
                return text.lower() in _TRUE
            raise _Refused(f"{node.name} is {text!r}; allowed are true and false")
        case "integer" | "float":
            return _number(node, text)
        case "enumeration":
            if text in node.entries:
                return text
            near = nearest(text, node.entries)
            there = ", ".join(node.entries[:SHOWN]) or "no value now"
            raise _Refused(f"{node.name} cannot be {text!r}{_meant(near)}; there are {there}")
        case _:
            return text


def _number(node: NodeRecord, text: str) -> Value:
    try:
        number = int(text, 0) if node.kind == "integer" else float(text)
    except ValueError:
        number = math.nan
    low = -math.inf if node.minimum is None else node.minimum
    high = math.inf if node.maximum is None else node.maximum
    if not low <= number <= high:
        whole = "a whole number " if node.kind == "integer" else ""
        unit = f" {node.unit}" if node.unit else ""
        allowed = f"{whole}from {low:g} to {high:g}{unit}"
        if node.kind == "integer":
            allowed = f"{whole}from {node.minimum} to {node.maximum}{unit}"
        raise _Refused(f"{node.name} is {text}; allowed is {allowed}")
    step = node.increment or 0
    if node.kind == "integer" and step > 1 and (number - low) % step:
        down = number - (number - low) % step
        raise _Refused(
            f"{node.name} is {text}; it goes in steps of {step:g}, as {down:g} or {down + step:g}"
        )
    return number


def _read_back(device: Device, node: NodeRecord, written: Value) -> list[str]:
    if not node.readable:
        return []
    try:
        found = device.read(node.name)
    except NodeError:
        return []
    if isinstance(written, float) and isinstance(found, int | float):
        same = math.isclose(written, found, rel_tol=READ_BACK_SHARE, abs_tol=1e-9)
    else:
        same = written == found
    return [] if same else [f"{node.name} was set to {written} and is {found}"]


def _said(device: Device, node: NodeRecord) -> str:
    if not node.readable:
        return " or locked now"
    try:
        return f", it is {device.read(node.name)}"
    except NodeError:
        return ""


def _meant(near: str) -> str:
    return f"; did you mean {near}?" if near else ""


def value_of(device: Device, *names: str) -> Value | None:
    """The value of the first of these nodes that can be read now; None without one."""
    there = device.names()
    for name in names:
        if name in there:
            try:
                return device.read(name)
            except NodeError:
                continue
    return None


def number_of(device: Device, *names: str) -> float | None:
    """The same of a number."""
    value = value_of(device, *names)
    return float(value) if isinstance(value, int | float) else None
