"""Nested plain values (dict, list, scalar) by path: get, set, take out."""

from __future__ import annotations

from collections.abc import Iterator
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


def remove(data: dict[str, Any], path: KeyPath) -> bool:
    """Take out the key at ``path``; false when it is not there.

    An item of a list takes the whole list with it, because the paths of the items behind it would
    shift.
    """
    while path and isinstance(path[-1], int):
        path = path[:-1]
    section = get(data, path[:-1])
    if not path or not isinstance(section, dict) or path[-1] not in section:
        return False
    del section[path[-1]]
    return True


def leaves(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is neither mapping nor list, and every empty one of these."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list) and data:
        for i, value in enumerate(data):
            yield from leaves(value, (*path, i))
    else:
        yield path, data
