"""Which source a camera's ``source`` string names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from agent.capture.source import SourceError
from agent.picture_files import SUFFIXES
from agent.redaction import without_credentials

VIDEO_SUFFIXES = (
    ".avi",
    ".m2ts",
    ".m4v",
    ".mjpeg",
    ".mjpg",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpg",
    ".webm",
)
"""By these a file that is away is told from a folder that is; any file may be read."""

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")

OPENERS: Mapping[str, str] = {
    "folder": "agent.capture.sources.folder:FolderSource",
    "video": "agent.capture.sources.video:VideoSource",
    "v4l2": "agent.capture.sources.v4l2:V4l2Source",
    "rtsp": "agent.capture.sources.rtsp:RtspSource",
    "rtsps": "agent.capture.sources.rtsp:RtspSource",
}
"""What capture reads by itself; ``file:`` and a bare path are a folder or a video file."""


@dataclass(frozen=True, slots=True)
class SourceUrl:
    """``scheme`` in lower case, ``location`` (a path, a device or the whole URL), options."""

    scheme: str
    location: str
    options: Mapping[str, str]

    @property
    def loops(self) -> bool:
        """Whether a finite source starts over at its end."""
        return self.options.get("loop", "1") not in ("0", "false", "no")


def parse(source: str) -> SourceUrl:
    """Take a source string apart. ``SourceError`` (permanent) for one that cannot be right.

    >>> parse("file:///data/peaches?loop=0")
    SourceUrl(scheme='file', location='/data/peaches', options={'loop': '0'})
    """
    match = _SCHEME.match(source)
    scheme = match[1].lower() if match else "file"
    if scheme != "file":
        return SourceUrl(scheme, source, {})
    rest = source.removeprefix("file:") if match else source
    if match and rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise SourceError("bad_url", f"{source}: a file is file:///path", permanent=True)
        rest = slash + path
    path, _, query = rest.partition("?")
    if query and Path(rest).exists():  # a name that really holds a question mark
        path, query = rest, ""
    if not path:
        raise SourceError("bad_url", "the path is empty", permanent=True)
    options = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(set(options) - {"loop"}):
        raise SourceError("bad_url", f"option {unknown[0]!r}: known is loop", permanent=True)
    return SourceUrl("file", unquote(path) if match else path, options)


def _names_a_file(path: Path) -> bool:
    """Whether a path that does not exist has the suffix of a video or a picture."""
    return path.suffix.lower() in (*VIDEO_SUFFIXES, *SUFFIXES)


def opener_of(source: str, openers: Mapping[str, str]) -> str:
    """Return the ``package.module:name`` of what opens this source. ``SourceError``."""
    url = parse(source)
    known = {**OPENERS, **openers}
    if url.scheme == "file":
        path = Path(url.location)
        if path.is_dir():
            return known["folder"]
        if path.exists():
            return known["video"]
        if _names_a_file(path):
            raise SourceError("not_found", f"{path} does not exist")
        return known["folder"]  # a share that is not mounted yet
    if url.scheme not in known:
        names = ", ".join(sorted({*known, "file"} - {"folder", "video"}))
        raise SourceError(
            "unknown_scheme",
            f"{without_credentials(source)}: {url.scheme!r} is none of {names}",
            permanent=True,
        )
    return known[url.scheme]
