"""Nested plain values (dict, list, scalar) by path: get, set, change each, name the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.config.yaml import KeyPath


def get(data: Any, path: KeyPath) -> Any:
    """The value at ``path``, or None where there is none."""
    for step in path:
        if isinstance(data, dict) and isinstance(step, str):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
            data = data[step]
        else:
            return None
    return data


def put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a key, making the sections on the way; left alone where something else is in the way."""
    section: Any = data
    for step in path[:-1]:
        if section.get(step) is None:
            section[step] = {}
        section = section[step]
        if not isinstance(section, dict):
            return
    section[path[-1]] = value


def each(data: Any, change: Callable[[KeyPath, Any], Any], path: KeyPath = ()) -> Any:
    """A copy with ``change(path, value)`` in place of every value that holds no others."""
    if isinstance(data, dict) and data:
        return {key: each(value, change, (*path, key)) for key, value in data.items()}
    if isinstance(data, list) and data:
        return [each(value, change, (*path, i)) for i, value in enumerate(data)]
    return change(path, data)


def path_text(path: KeyPath) -> str:
    """``("cameras", 1, "fps")`` -> ``cameras[1].fps``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
