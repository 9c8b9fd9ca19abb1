"""What a simulated camera is told, in its URL (``sim:?rate=280&seed=3``) or in YAML (a mapping
``sim`` beside ``source: "sim:"``); every error names its parameter.

==========  ===========  ===================================================================
parameter   default      meaning
==========  ===========  ===================================================================
rate        280          cups a minute over all lanes
lanes       1            lanes side by side in one picture
seed        0            of everything
size        256          pixels of one lane's side (default: the camera's height)
empty       0.03         share of empty cups
doubles     0            share of cups with two fruit
stops       0            belt stops an hour
stop_s      8            their mean length, and the length of a change of variety
variety     any          one or several, separated by commas: taken in turn, one a lot
lot         0            rows of cups to a lot; 0: one lot
faint       0.25         share of fruit with a faint suture
ids         1            0: the machine does not tell which fruit it is
anchor      when opened  monotonic second at which the run began
log         none         file for the truth log
numbers     0            1: each picture's number is drawn into its corners, for tests
fault       none         ``name@onset+duration*strength~ramp``, may be repeated
==========  ===========  ===================================================================

In YAML ``variety`` and ``fault`` may be lists. Triggered or free-run, and the rate of a
free-running camera, are the camera's own settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from agent.nearest import unknown
from agent.simulator.faults import Fault, parse_fault
from agent.simulator.machine import MachineSettings
from agent.simulator.render import MAX_SIZE_PX, MIN_SIZE_PX, Look
from agent.simulator.varieties import ALL_VARIETIES

LANES_MAX = 16


class ParameterError(ValueError):
    """Parameters that are unknown or have a value out of range; the text names each of them.

    ``wrong`` has a sentence of each.
    """

    def __init__(self, *wrong: str) -> None:
        super().__init__("; ".join(wrong))
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class SimParameters:
    """Everything the URL can say. ``size_px`` None: the camera's height, else 256.

    ``anchor_mono``: the monotonic second at which the run began; None: when the camera is opened.
    With it, a camera that is opened again finds the machine where it would be by then, and a fault
    that is over stays over.
    """

    machine: MachineSettings
    look: Look
    size_px: int | None
    ids: bool
    anchor_mono: float | None
    truth_log: Path | None
    numbers: bool
    faults: tuple[Fault, ...]


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ParameterError(f"{name}={text}: must be a number from {low:g} to {high:g}")
    return value


def _whole(name: str, text: str, low: int, high: int) -> int:
    value = _number(name, text, low, high)
    if value != int(value):
        raise ParameterError(f"{name}={text}: must be a whole number from {low} to {high}")
    return int(value)


def _varieties(name: str, text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    wrong = [one for one in names if one not in ALL_VARIETIES]
    if wrong:
        raise ParameterError(
            *(f"{name}={one}: {unknown('variety', one, ALL_VARIETIES)}" for one in wrong)
        )
    return names


def _path(name: str, text: str) -> Path:
    if not text or not Path(text).parent.is_dir():
        raise ParameterError(f"{name}={text}: must be a file in a folder that exists")
    return Path(text)


_READERS: dict[str, Callable[[str, str], object]] = {
    "rate": lambda n, t: _number(n, t, 1, 6000),
    "lanes": lambda n, t: _whole(n, t, 1, LANES_MAX),
    "seed": lambda n, t: _whole(n, t, 0, 9999),
    "empty": lambda n, t: _number(n, t, 0, 1),
    "doubles": lambda n, t: _number(n, t, 0, 1),
    "stops": lambda n, t: _number(n, t, 0, 3600),
    "stop_s": lambda n, t: _number(n, t, 0, 3600),
    "lot": lambda n, t: _whole(n, t, 0, 10**9),
    "variety": _varieties,
    "faint": lambda n, t: _number(n, t, 0, 1),
    "size": lambda n, t: _whole(n, t, MIN_SIZE_PX, MAX_SIZE_PX),
    "ids": lambda n, t: bool(_whole(n, t, 0, 1)),
    "anchor": lambda n, t: _number(n, t, 0, 1e12),
    "log": _path,
    "numbers": lambda n, t: bool(_whole(n, t, 0, 1)),
}
PARAMETERS = (*_READERS, "fault")


def parse_url(url: str, more: Mapping[str, object] | None = None) -> SimParameters:
    """Read ``sim:?name=value&...``; ``fault`` may be repeated, the others may not.

    ``more``: parameters from elsewhere, as plain values or lists of text, under the same names.
    Raises ``ParameterError`` with all that is wrong.
    """
    parts = urlsplit(url)
    if parts.scheme != "sim" or parts.netloc or parts.path.strip("/") or parts.fragment:
        raise ParameterError(f"{url}: expected sim: or sim:?name=value&name=value")
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    wrong: list[str] = []
    for name, text in (*_of_query(parts.query), *_of_mapping(more or {})):
        if name in values:
            wrong.append(f"{name}: given twice")
            continue
        try:
            if name == "fault":
                faults.append(_fault(text))
            elif name in _READERS:
                values[name] = _READERS[name](name, text)
            else:
                wrong.append(unknown("parameter", name, PARAMETERS))
        except ParameterError as error:
            wrong += error.wrong
    if wrong:
        raise ParameterError(*wrong)
    return _assemble(values, tuple(faults))


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise ParameterError(f"fault={text}: {error}") from error


def _of_query(query: str) -> Iterator[tuple[str, str]]:
    # Split by hand: a plus sign is part of a fault here, not a blank.
    for item in filter(None, query.split("&")):
        name, _, text = (unquote(part) for part in item.partition("="))
        yield name, text


def _of_mapping(more: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in more.items():
        if name == "fault" and isinstance(value, list | tuple):
            yield from ((name, str(fault)) for fault in value)
        elif isinstance(value, list | tuple):
            yield name, ",".join(str(part) for part in value)
        else:
            yield name, str(int(value)) if isinstance(value, bool) else str(value)


def _assemble(values: dict[str, Any], faults: tuple[Fault, ...]) -> SimParameters:
    renamed = {
        "rate": "rate_per_min",
        "stops": "stops_per_h",
        "lot": "lot_rows",
        "variety": "varieties",
    }
    others = {
        "look": Look(faint=values.pop("faint", Look().faint)),
        "size_px": values.pop("size", None),
        "ids": values.pop("ids", True),
        "anchor_mono": values.pop("anchor", None),
        "truth_log": values.pop("log", None),
        "numbers": values.pop("numbers", False),
    }
    machine = MachineSettings(**{renamed.get(k, k): v for k, v in values.items()})
    if machine.empty + machine.doubles > 1:
        raise ParameterError("empty and doubles: together more than all cups")
    return SimParameters(machine=machine, faults=faults, **others)
