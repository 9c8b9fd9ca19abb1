"""Groups of channels that are ablated together.

The ablation of one channel shows nothing where others back it up. A group that costs more together
than its channels cost one by one is a set of such doubles.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from agent.ablation.core.arguments import integer
from agent.ablation.core.errors import AblationError

Group = tuple[int, ...]
FORMS = "contiguous:N, cluster:N, or groups of channels such as 0-3;4,6"


def contiguous(depth: int, count: int) -> tuple[Group, ...]:
    """``depth`` channels in ``count`` runs of nearly equal length, in channel order."""
    depth, count = integer("channels", depth), integer("groups", count)
    if not 1 <= count <= depth:
        raise AblationError(f"{count} groups: there are {depth} channels, so 1 to {depth} groups")
    parts = np.array_split(np.arange(depth), count)
    return tuple(tuple(int(k) for k in part) for part in parts)


def clustered(maps: NDArray[np.floating], count: int) -> tuple[Group, ...]:
    """``count`` clusters of channels whose maps are alike; ``maps`` is (K, ...).

    Average linkage on 1 - the correlation of two maps over all their values. A channel that is
    constant everywhere correlates with nothing.
    """
    rows, count = _rows(maps), integer("groups", count)
    if not 1 <= count <= len(rows):
        raise AblationError(
            f"{count} groups: there are {len(rows)} channels, so 1 to {len(rows)} groups"
        )
    rows = rows - rows.mean(axis=1, keepdims=True)
    norm = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    rows = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
    distance = 1 - rows @ rows.T
    np.fill_diagonal(distance, np.inf)
    groups: list[list[int]] = [[k] for k in range(len(rows))]
    while len(groups) > count:
        i, j = sorted(np.unravel_index(int(distance.argmin()), distance.shape))
        sizes = len(groups[i]), len(groups[j])
        merged = (sizes[0] * distance[i] + sizes[1] * distance[j]) / sum(sizes)
        distance[i], distance[:, i] = merged, merged
        distance[i, i] = np.inf
        distance = np.delete(np.delete(distance, j, axis=0), j, axis=1)
        groups[i] += groups.pop(j)
    return tuple(sorted(tuple(sorted(group)) for group in groups))


def checked(groups: Sequence[Group], depth: int) -> tuple[Group, ...]:
    """The groups given, or ``AblationError`` naming the channel that is not there or empty ones."""
    found = tuple(_group(group) for group in groups)
    for group in found:
        if not group or len(set(group)) != len(group):
            raise AblationError(f"group {group}: it must hold at least one channel, each once")
        for k in group:
            if not 0 <= k < depth:
                raise AblationError(f"group {group}: no channel {k}; there are 0 to {depth - 1}")
    return found


def parse_groups(wanted: str | Sequence[Group], maps: NDArray[np.floating]) -> tuple[Group, ...]:
    """The groups ``wanted``, given or named in words, of a layer whose maps are (K, h, w); see
    ``FORMS``."""
    if not isinstance(wanted, str):
        return checked(wanted, len(maps))
    name, _, rest = wanted.partition(":")
    if name in ("contiguous", "cluster") and rest.isdecimal():
        count = int(rest)
        return contiguous(len(maps), count) if name == "contiguous" else clustered(maps, count)
    return checked(_listed(wanted), len(maps))


def check_groups(wanted: str | Sequence[Group]) -> str | tuple[Group, ...]:
    """Groups as far as they can be read without a layer; ``AblationError`` naming the forms."""
    if not isinstance(wanted, str):
        if not isinstance(wanted, Sequence):
            raise AblationError(f"no groups {type(wanted).__name__}; groups are {FORMS}")
        return tuple(_group(group) for group in wanted)
    name, _, rest = wanted.partition(":")
    if wanted and not (name in ("contiguous", "cluster") and rest.isdecimal()):
        _listed(wanted)
    return str(wanted)


def _group(group: object) -> Group:
    if not isinstance(group, Sequence) or isinstance(group, str):
        raise AblationError(f"group {group!r}: it must be a sequence of channels")
    return tuple(integer("a channel of a group", k) for k in group)


def _rows(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """(K, ...) -> (K, values of a map), finite."""
    if not isinstance(maps, np.ndarray) or maps.ndim < 2 or maps.size == 0:
        raise AblationError("maps to cluster must be an array (K, ...) with a value each")
    rows = np.asarray(maps, np.float64).reshape(len(maps), -1)
    if not np.isfinite(rows).all():
        raise AblationError("maps to cluster must be finite")
    return rows


def _listed(words: str) -> list[Group]:
    try:
        return [_channels(part) for part in words.split(";")]
    except ValueError as error:
        raise AblationError(f"no groups {words!r}; groups are {FORMS}") from error


def _channels(part: str) -> Group:
    out: list[int] = []
    for word in part.split(","):
        first, dash, last = word.strip().partition("-")
        out += range(int(first), (int(last) if dash else int(first)) + 1)
    return tuple(out)
