"""What a ``genicam:`` camera is told, from its URL and its section in YAML together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from agent.capture.source import SourceError
from agent.capture.sources.genicam.address import Address, parse_address
from agent.capture.sources.genicam.formats import FORMATS, canonical
from agent.capture.sources.genicam.setup import plan
from agent.config import Camera, GenicamOptions
from agent.config.words import allowed
from agent.nearest import unknown

_SECTION = ("cameras", 0, "genicam")
_LISTS = ("features", "roi", "chunks")


def options_of(camera: Camera) -> tuple[Address, GenicamOptions]:
    """The camera that is meant and its options. ``SourceError`` (permanent) names what is wrong.

    Options in the URL are texts; those of a list are separated by commas
    (``?features=BlackLevelSelector=All,BlackLevel=4&roi=0,0,640,480``).
    """
    try:
        address, texts = parse_address(camera.source)
    except ValueError as error:
        raise _bad(str(error)) from error
    said = {} if camera.genicam is None else camera.genicam.model_dump(exclude_unset=True)
    if twice := sorted(texts.keys() & said.keys()):
        raise _bad(f"option {twice[0]}: stands in the URL and under genicam; say it once")
    try:
        return address, GenicamOptions.model_validate(said | _values(texts))
    except ValidationError as error:
        raise _bad(_first(error)) from error


def check_genicam(camera: Camera) -> None:
    """``SourceError`` (permanent) for options that cannot be right, whatever camera comes."""
    _, options = options_of(camera)
    asked = options.pixel_format
    if asked is not None and canonical(asked) not in FORMATS:
        raise _bad(f"pixel_format {asked} cannot be read; there are {', '.join(FORMATS)}")
    list(plan(camera, options))  # reads the file of features


def _values(texts: Mapping[str, str]) -> dict[str, Any]:
    known = tuple(GenicamOptions.model_fields)
    for name in texts:
        if name not in known:
            raise _bad(unknown("option", name, known))
    return {
        name: tuple(one for one in text.split(",") if one) if name in _LISTS else text
        for name, text in texts.items()
    }


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, with what is allowed."""
    details = error.errors(include_url=False)[0]
    if broken := details.get("ctx", {}).get("broken"):
        return f"option {broken[0].path[0]} {broken[0].message}"
    key, value = str(details["loc"][0]), details["input"]
    words = allowed((*_SECTION, key))
    return f"option {key}={value}: allowed is {words.removesuffix(', or null')}"


def _bad(detail: str) -> SourceError:
    return SourceError("bad_url", detail, permanent=True)
