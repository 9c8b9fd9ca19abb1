"""The page as one document: markup, style, script and words, and the policy that it runs under."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources

from agent.observability.page.words import Words

SCRIPTS = (
    "words.js", "draw.js", "explained.js", "camera.js", "alarms.js", "past.js", "acting.js",
    "page.js",
)  # fmt: skip
"""Put into the page as one script, in this order."""


def load_page(words: Words, scale: Sequence[str]) -> tuple[bytes, str]:
    """Return the page, its parts put in, and a policy under which only those run.

    ``scale``: the colours of the heat maps' legend from left to right, as ``#rrggbb``.
    """
    folder = resources.files("agent.observability.page")
    said = {**words.texts, "language": words.language}
    text = re.sub(
        r"\{\{(\w+)\}\}",
        lambda found: html.escape(said[found[1]]),
        folder.joinpath("page.html").read_text("utf-8"),
    )
    table = json.dumps(asdict(words), ensure_ascii=False).replace("<", "\\u003c")
    parts = {
        "style": f"\n:root {{ --map-scale: linear-gradient(90deg, {', '.join(scale)}); }}"
        + folder.joinpath("page.css").read_text("utf-8"),
        "script": f'"use strict";\nconst WORDS = {table};\n'
        + "".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS),
    }
    hashes = {}
    for tag, inline in parts.items():
        text = text.replace(f"<{tag}></{tag}>", f"<{tag}>{inline}</{tag}>")
        hashes[tag] = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'"
    )
    return text.encode(), policy
