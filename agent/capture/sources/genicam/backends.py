"""Which driver reads a camera."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pkgutil import resolve_name

from agent.capture.source import SourceError
from agent.capture.sources.genicam.backend import Backend
from agent.config import GenicamBackend, GenicamOptions

PRODUCERS = "GENICAM_GENTL64_PATH"
"""Folders of GenTL producers, by the GenTL standard."""

BACKENDS: Mapping[GenicamBackend, str] = {
    GenicamBackend.GENTL: "agent.capture.sources.genicam.gentl.backend:GentlBackend",
    GenicamBackend.ARAVIS: "agent.capture.sources.genicam.aravis.backend:AravisBackend",
}
"""What makes a ``Backend``, as ``package.module:name``; called in the capture child."""
WITHOUT_PRODUCER = GenicamBackend.ARAVIS
"""What ``auto`` takes where no producer is named."""


def chosen(options: GenicamOptions, environment: Mapping[str, str]) -> GenicamBackend:
    """The driver that is meant; ``auto`` takes gentl where a producer is named."""
    if options.backend is not GenicamBackend.AUTO:
        return options.backend
    named = options.cti is not None or environment.get(PRODUCERS, "")
    return GenicamBackend.GENTL if named else WITHOUT_PRODUCER


def make_backend(options: GenicamOptions) -> Backend:
    """``SourceError`` (``no_backend``, permanent) where a package that it needs is missing."""
    name = chosen(options, os.environ)
    try:
        made: Backend = resolve_name(BACKENDS[name])()
    except ImportError as error:
        detail = f"backend {name.value} needs a package that is not installed: {error}"
        raise SourceError("no_backend", detail, permanent=True) from error
    return made
