"""The machine's own word as JSON: topic ``B/machine`` and ``POST /machine`` read it the same way.

Each message is the whole state and replaces the one before: ``state`` is required, ``fruit_id``,
``encoder``, ``variety`` and ``lot`` are absent or null where the machine does not know them,
``timestamp_ms`` where it has no clock, ``lane`` where the message concerns every lane. A value that
cannot be used costs its key and nothing else, but for ``lane``: without it, the fruit of every lane
would be named. A key that is not understood costs the message for the same reason: it may be a
misspelt ``lane``. So does a state that does not exist where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.records import MachineInfo, MachineState, Origin
from agent.strict_json import read_object
from agent.unix_time import meant_ms

MESSAGE_LIMIT_BYTES = 65_536
TEXT_LIMIT = 64
ENCODER_MAX = 2**63 - 1
STAMP_MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
KEYS = ("state", "fruit_id", "encoder", "variety", "lot", "timestamp_ms", "lane")


class MachineMessageError(ValueError):
    """A message that is not a machine state; the text names the key and what is allowed."""


def parse_machine(
    payload: bytes, received_utc_ms: int, arrived_mono: float = 0.0, *, stored: bool = False
) -> MachineInfo:
    """Return the state that one message holds; ``MachineMessageError`` for any other payload.

    ``received_utc_ms`` and ``arrived_mono`` are when it came in, on our clocks; ``stored``: a
    broker had kept it. A key whose value cannot be used is left out and named in ``left_out``.
    """
    read = read_object(payload, MESSAGE_LIMIT_BYTES)
    if read.wrong:
        raise MachineMessageError(read.wrong)
    message = read.values
    for key in message:
        if key not in KEYS:
            raise MachineMessageError(f"unknown key {key[:40]!r}; allowed are {', '.join(KEYS)}")
    wrong: list[str] = []
    lane = _text(message, "lane", wrong)
    if wrong:
        raise MachineMessageError(wrong[0])
    stamp_ms = _whole(message, "timestamp_ms", STAMP_MAX_MS, wrong) or 0
    if unit := meant_ms(stamp_ms, received_utc_ms):
        wrong.append(f"timestamp_ms {unit}")
        stamp_ms = 0
    info = MachineInfo(
        state=_state(message, wrong),
        fruit_id=_text(message, "fruit_id", wrong, numbers=True),
        encoder=_whole(message, "encoder", ENCODER_MAX, wrong),
        variety=_text(message, "variety", wrong),
        lot=_text(message, "lot", wrong, numbers=True),
        received_utc_ms=received_utc_ms,
        machine_timestamp_ms=stamp_ms,
        arrived_mono=arrived_mono,
        lane=lane,
        origin=Origin.STORED if stored else Origin.MACHINE,
        left_out=tuple(wrong),
    )
    if wrong and info.state is MachineState.UNKNOWN and not _says_anything(info):
        raise MachineMessageError(wrong[0])
    return info


def _says_anything(info: MachineInfo) -> bool:
    return any(one is not None for one in (info.fruit_id, info.encoder, info.variety, info.lot))


def _state(message: Mapping[str, object], wrong: list[str]) -> MachineState:
    allowed, value = ", ".join(MachineState), message.get("state")
    if value is None:
        raise MachineMessageError(f"state is missing; allowed are {allowed}")
    try:
        return MachineState(value)  # type: ignore[arg-type]  # any value is looked up
    except ValueError:
        wrong.append(f"state is {str(value)[:40]!r}; allowed are {allowed}")
        return MachineState.UNKNOWN


def _text(
    message: Mapping[str, object], key: str, wrong: list[str], *, numbers: bool = False
) -> str | None:
    value = _as_whole(message.get(key)) if numbers else message.get(key)
    if value is None:
        return None
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) <= ENCODER_MAX else ""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        wrong.append(f"{key} must be 1 to {TEXT_LIMIT} printable characters")
        return None
    return value


def _whole(message: Mapping[str, object], key: str, largest: int, wrong: list[str]) -> int | None:
    value = _as_whole(message.get(key))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        wrong.append(f"{key} must be a whole number from 0 to {largest}")
        return None
    return value


def _as_whole(value: object) -> object:
    """A float without a fraction as a whole number: some senders have no other numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
