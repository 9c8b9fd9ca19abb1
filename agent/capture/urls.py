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

AFTER = ("keep", "move", "delete")
_OPTIONS = ("loop", "watch", "after")
_YES, _NO = ("", "1", "true", "yes", "on"), ("0", "false", "no", "off")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):")

OPENERS: Mapping[str, str] = {
    "folder": "agent.capture.sources.folder:FolderSource",
    "watch": "agent.capture.sources.watch:WatchSource",
    "video": "agent.capture.sources.video:VideoSource",
    "v4l2": "agent.capture.sources.v4l2:V4l2Source",
    "rtsp": "agent.capture.sources.rtsp:RtspSource",
    "rtsps": "agent.capture.sources.rtsp:RtspSource",
    "genicam": "agent.capture.sources.genicam.source:GenicamSource",
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
        return self.options.get("loop", "1").lower() not in _NO

    @property
    def watches(self) -> bool:
        """Whether a folder's pictures are read as they arrive."""
        return self.options.get("watch", "0").lower() not in _NO

    @property
    def after(self) -> str:
        """What becomes of a picture of a watched folder."""
        return self.options.get("after", AFTER[0])


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
    url = SourceUrl("file", unquote(path) if match else path, options)
    if wrong := _wrong_options(url):
        raise SourceError("bad_url", wrong, permanent=True)
    return url


def _wrong_options(url: SourceUrl) -> str:
    """What is wrong with the options of a file, in words."""
    if unknown := sorted(set(url.options) - set(_OPTIONS)):
        return f"option {unknown[0]!r}: known are {', '.join(_OPTIONS)}"
    for name in ("loop", "watch"):
        if (value := url.options.get(name, "")).lower() not in (*_YES, *_NO):
            return f"{name}={value}: allowed are 1 and 0"
    if url.after not in AFTER:
        return f"after={url.after}: allowed are {', '.join(AFTER)}"
    if not url.watches and "after" in url.options:
        return "after has no effect without watch=1"
    if url.watches and "loop" in url.options:
        return "loop has no effect beside watch=1"
    if url.watches and Path(url.location).is_file():
        return f"{url.location} is a file, and watch=1 is for a folder"
    return ""


def _names_a_file(path: Path) -> bool:
    """Whether a path that does not exist has the suffix of a video or a picture."""
    return path.suffix.lower() in (*VIDEO_SUFFIXES, *SUFFIXES)


def opener_of(source: str, openers: Mapping[str, str]) -> str:
    """Return the ``package.module:name`` of what opens this source. ``SourceError``."""
    url = parse(source)
    known = {**OPENERS, **openers}
    if url.scheme == "file":
        path = Path(url.location)
        if url.watches:
            return known["watch"]
        if path.is_dir():
            return known["folder"]
        if path.exists():
            return known["video"]
        if _names_a_file(path):
            raise SourceError("not_found", f"{path} does not exist")
        return known["folder"]  # a share that is not mounted yet
    if url.scheme not in known:
        names = ", ".join(sorted({*known, "file"} - {"folder", "watch", "video"}))
        raise SourceError(
            "unknown_scheme",
            f"{without_credentials(source)}: {url.scheme!r} is none of {names}",
            permanent=True,
        )
    return known[url.scheme]
