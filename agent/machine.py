"""The machine's own word as JSON: topic ``B/machine`` and ``POST /machine`` read it the same way.

Each message is the whole state and replaces the one before: ``state`` is required, ``fruit_id``,
``encoder``, ``variety`` and ``lot`` are absent or null where the machine does not know them,
``timestamp_ms`` where it has no clock, ``lane`` where the message concerns every lane. A key that
is not understood is an error, so that a misspelt one is noticed at the first message. A value that
cannot be used costs its key and nothing else; ``state`` and ``lane`` cost the message.
"""

from __future__ import annotations

import json

from agent.records import MachineInfo, MachineState, Origin

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
    message = _object(payload)
    for key in message:
        if key not in KEYS:
            raise MachineMessageError(f"unknown key {key[:40]!r}; allowed are {', '.join(KEYS)}")
    wrong: list[str] = []
    lane = _text(message, "lane", wrong)
    if wrong:  # left out, it would name the fruit of every lane
        raise MachineMessageError(wrong[0])
    return MachineInfo(
        state=_state(message.get("state")),
        fruit_id=_text(message, "fruit_id", wrong, numbers=True),
        encoder=_whole(message, "encoder", ENCODER_MAX, wrong),
        variety=_text(message, "variety", wrong),
        lot=_text(message, "lot", wrong, numbers=True),
        received_utc_ms=received_utc_ms,
        machine_timestamp_ms=_whole(message, "timestamp_ms", STAMP_MAX_MS, wrong) or 0,
        arrived_mono=arrived_mono,
        lane=lane,
        origin=Origin.STORED if stored else Origin.MACHINE,
        left_out=tuple(wrong),
    )


def _object(payload: bytes) -> dict[str, object]:
    if len(payload) > MESSAGE_LIMIT_BYTES:
        raise MachineMessageError(f"longer than {MESSAGE_LIMIT_BYTES} bytes")
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise MachineMessageError(f"not JSON in UTF-8: {error}") from error
    if not isinstance(message, dict):
        raise MachineMessageError("not a JSON object")
    return message


def _state(value: object) -> MachineState:
    allowed = ", ".join(MachineState)
    if value is None:
        raise MachineMessageError(f"state is missing; allowed are {allowed}")
    try:
        return MachineState(value)  # type: ignore[arg-type]  # any value is looked up
    except ValueError as error:
        raise MachineMessageError(f"state is {str(value)[:40]!r}; allowed are {allowed}") from error


def _text(
    message: dict[str, object], key: str, wrong: list[str], *, numbers: bool = False
) -> str | None:
    value = message.get(key)
    if value is None:
        return None
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) <= ENCODER_MAX else ""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        wrong.append(f"{key} must be 1 to {TEXT_LIMIT} printable characters")
        return None
    return value


def _whole(message: dict[str, object], key: str, largest: int, wrong: list[str]) -> int | None:
    value = message.get(key)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # some senders have no other numbers
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        wrong.append(f"{key} must be a whole number from 0 to {largest}")
        return None
    return value
