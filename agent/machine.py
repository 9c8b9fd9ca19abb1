"""The machine's own word as JSON: topic ``B/machine`` and ``POST /machine`` read it the same way.

Each message is the whole state and replaces the one before: ``state`` is required, ``fruit_id``,
``encoder``, ``variety`` and ``lot`` are absent or null where the machine does not know them. A key
that is not understood is an error, so that a misspelt one is noticed at the first message.
"""

from __future__ import annotations

import json

from agent.records import MachineInfo, MachineState

MESSAGE_LIMIT_BYTES = 4096
TEXT_LIMIT = 64
ENCODER_MAX = 2**63 - 1
KEYS = ("state", "fruit_id", "encoder", "variety", "lot", "timestamp_ms")


class MachineMessageError(ValueError):
    """A message that is not a machine state; the text names the key and what is allowed."""


def parse_machine(payload: bytes, received_utc_ms: int) -> MachineInfo:
    """Return the state that one message holds; ``MachineMessageError`` for any other payload.

    ``received_utc_ms`` stamps the result: the sender's clock (``timestamp_ms``) is accepted as a
    key and not trusted.
    """
    message = _object(payload)
    for key in message:
        if key not in KEYS:
            raise MachineMessageError(f"unknown key {key[:40]!r}; allowed are {', '.join(KEYS)}")
    return MachineInfo(
        state=_state(message.get("state")),
        fruit_id=_text(message, "fruit_id", numbers=True),
        encoder=_encoder(message.get("encoder")),
        variety=_text(message, "variety"),
        lot=_text(message, "lot", numbers=True),
        received_utc_ms=received_utc_ms,
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


def _text(message: dict[str, object], key: str, *, numbers: bool = False) -> str | None:
    value = message.get(key)
    if value is None:
        return None
    if numbers and isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) <= ENCODER_MAX else ""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        raise MachineMessageError(f"{key} must be 1 to {TEXT_LIMIT} printable characters")
    return value


def _encoder(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= ENCODER_MAX:
        raise MachineMessageError("encoder must be a whole number from 0 to 2^63 - 1")
    return value
