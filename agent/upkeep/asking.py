"""Asks the running agent how it is: over its socket in ``state_dir``, else over HTTP."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

from agent.supervision.control.client import ask
from agent.supervision.control.protocol import ControlError, NotRunningError
from agent.upkeep.own_machine import connection_to, reachable
from agent.upkeep.settings import Settings

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024


class NoAnswerError(Exception):
    """No agent answers; the text says who was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``view``: the snapshot as ``/api/v1/status`` has it; ``storage``, ``disk``: empty where only
    HTTP answered."""

    view: dict[str, Any]
    storage: dict[str, Any] = field(default_factory=dict)
    disk: dict[str, Any] = field(default_factory=dict)
    pid: int | None = None
    owner: str = ""


def ask_status(settings: Settings, timeout_s: float) -> Answer:
    """Return how the agent of this configuration is. ``NoAnswerError``."""
    said = []
    if settings.state_dir is not None:
        try:
            found: dict[str, Any] = ask(settings.state_dir, "status", timeout_s=timeout_s)
            return Answer(
                found["view"], found["storage"], found["disk"], found["pid"], found["owner"]
            )
        except NotRunningError as error:
            said.append(str(error))
        except (ControlError, LookupError) as error:
            said.append(f"{settings.state_dir}: {error}")
    try:
        body = get(settings, "/api/v1/status", timeout_s)
        view = json.loads(body)
        if isinstance(view, dict) and "cameras" in view:
            return Answer(view)
        said.append("HTTP: the answer is not that of an agent")
    except NoAnswerError as error:
        said.append(str(error))
    except ValueError:
        said.append("HTTP: the answer is not that of an agent")
    raise NoAnswerError("; ".join(said))


def get(settings: Settings, path: str, timeout_s: float) -> bytes:
    """One GET with the token of the configuration. ``NoAnswerError``."""
    section = getattr(settings.config, "http", None)
    try:
        if section is None or not section.enabled or section.port == 0:
            raise NoAnswerError("HTTP: http.enabled is false, or its port is not known")
        host = reachable(section.host)
        encrypted, token, port = section.tls.certificate is not None, section.token, section.port
    except AttributeError as error:  # a key with an error of its own
        raise NoAnswerError("HTTP: the section http has errors") from error
    connection = connection_to(host, port, timeout_s, encrypted=encrypted)
    headers = {"Connection": "close"}
    # A certificate is not checked here, so the secret goes to this machine's own address alone.
    if token is not None and host in ("127.0.0.1", "::1", "localhost"):
        headers["Authorization"] = f"Bearer {_text(token)}"
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(ANSWER_LIMIT_BYTES)
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise NoAnswerError(f"HTTP: {host}:{port} does not answer: {why}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise NoAnswerError(f"HTTP: {host}:{port}{path} answers {answer.status}")
    return body


def _text(secret: Any) -> str:
    return str(secret.get_secret_value()) if hasattr(secret, "get_secret_value") else str(secret)
