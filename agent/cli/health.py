"""``pitwatch health``: what container, cluster and service manager ask, again and again.

So it costs little: of the configuration it reads where the HTTP server listens, and nothing else.
An error of another key is for ``run`` and ``check-config``; it must not end an agent that runs.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.options import EXIT_CONFIG, EXIT_FAILED, ConfigOption, one_line
from agent.upkeep.own_machine import connection_to, reachable

ANSWER_LIMIT_BYTES = 65536
REASON_CHARS = 300
AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens; the defaults are those of ``agent.config.Http``."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9464
    encrypted: bool = False


def health(
    config: ConfigOption = None,
    ready: Annotated[
        bool | None,
        typer.Option("--ready/--live", help="Can fruit be read? Or: does every loop move?"),
    ] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="As given to run, where it was.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="To wait for the answer.")
    ] = 3.0,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, max=86400, help="Wait so long for it to be ready (or alive)."
        ),
    ] = 0.0,
) -> None:
    """Ask the running agent how it is: exit code 0 well, 1 not, 78 an error of the configuration.

    Port, address and TLS come from the configuration. Where it switches the HTTP server off there
    is nobody to ask, and the exit code is 0; but 78 with --wait, which is the gate of an upgrade.
    """
    place = _listens(config, http)
    if not place.enabled and wait:
        typer.echo("pitwatch: http.enabled is false: there is nobody to wait for", err=True)
        raise typer.Exit(EXIT_CONFIG)
    if not place.enabled:
        typer.echo("not asked: http.enabled is false")
        return
    if place.port == 0:
        typer.echo("pitwatch: http.port is 0, any free one: nobody can know which", err=True)
        raise typer.Exit(EXIT_CONFIG)
    if ready is None:
        ready = wait > 0
    question = "ready" if ready else "alive"
    wrong = _wait(place, "/readyz" if ready else "/livez", timeout, wait)
    if wrong:
        within = f" within {wait:g} s" if wait else ""
        typer.echo(f"pitwatch: not {question}{within}: {wrong}", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo(question)


def _wait(place: Place, path: str, timeout_s: float, wait_s: float) -> str:
    """Ask until all is well or the time is over, at least once; what was wrong last."""
    end = time.monotonic() + wait_s
    while True:
        left_s = end - time.monotonic()
        wrong = _ask(place, path, min(timeout_s, max(0.1, left_s)) if wait_s else timeout_s)
        left_s = end - time.monotonic()
        if not wrong or left_s <= 0:
            return wrong
        time.sleep(min(AGAIN_S, left_s))


def _listens(config: Path | None, http: str | None) -> Place:
    """Where the agent of this configuration listens; the end of the program for an error in it."""
    place = Place() if config is None else _plain(config) or _modelled(config)
    if http is None:
        return place
    from agent.config.url import parse_host_port

    try:
        host, port = parse_host_port(http)
    except ValueError as error:
        raise typer.BadParameter(f"the address {error}", param_hint="--http") from error
    return Place(True, host, port, place.encrypted)


def _modelled(config: Path) -> Place:
    """Read the whole configuration as the agent does, but for what it names outside."""
    from agent.config.load import ConfigErrors, load_config

    with one_line(ConfigErrors, exit_code=EXIT_CONFIG):
        section = load_config(config).config.http
    encrypted = section.tls.certificate is not None
    return Place(section.enabled, section.host, section.port, encrypted)


def _plain(config: Path) -> Place | None:
    """Read the section without the models, which take half a second to load; None: not so plain.

    A reference, a number in quotes, whatever is wrong: all of it is for the models.
    """
    import yaml

    try:
        with config.open("rb") as file:
            whole = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is the safe one
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    section = _mapping(whole, "http")
    tls = _mapping(section, "tls")
    if section is None or tls is None:
        return None
    values: dict[str, Any] = {
        key: section[key] for key in ("enabled", "host", "port") if key in section
    }
    plain = {"enabled": bool, "host": str, "port": int}
    if any(type(value) is not plain[key] for key, value in values.items()):
        return None
    if "${" in values.get("host", "") or not 0 <= values.get("port", 0) <= 65535:
        return None
    return Place(**values, encrypted=tls.get("certificate") is not None)


def _mapping(parent: Any, key: str) -> dict[Any, Any] | None:
    """A section; an empty one where there is none, None where it is something else."""
    if not isinstance(parent, dict):
        return {} if parent is None else None
    section = parent.get(key)
    return {} if section is None else section if isinstance(section, dict) else None


def _ask(place: Place, path: str, timeout_s: float) -> str:
    """Ask, and return what is wrong; nothing when all is well."""
    host = reachable(place.host)
    connection = connection_to(host, place.port, timeout_s, encrypted=place.encrypted)
    named = f"[{place.host}]" if ":" in place.host else place.host
    url = f"{'https' if place.encrypted else 'http'}://{named}:{place.port}{path}"
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(ANSWER_LIMIT_BYTES)
    except TimeoutError:
        return f"{url} has not answered within {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {getattr(error, 'strerror', None) or repr(error)}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"{_reasons(body) or url} ({answer.status})"


def _reasons(body: bytes) -> str:
    """What the agent says; nothing from somebody else who listens there."""
    try:
        said = json.loads(body)
        reasons = said.get("reasons") or [said["error"]]
        return "; ".join(map(str, reasons))[:REASON_CHARS]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
