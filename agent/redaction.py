"""Takes secrets out of text before it is logged or shown. Pure.

Rather too much than too little: what looks like a secret goes, also when it was none. Nothing here
takes more than linear time, whatever the text.
"""

from __future__ import annotations

import re

HIDDEN = "***"

_NAMES = r"(?:password|passwd|passphrase|secret|token|authorization|api[_-]?key|credential)"
_SECRET_KEY = re.compile(_NAMES, re.IGNORECASE)
# name=value, name: value, "name": "value", 'name': 'value'; quantifiers are bounded so that no text
# takes more than linear time
_NAMED = re.compile(
    rf"""({_NAMES}[\w.-]{{0,40}}["']?\s{{0,8}}[=:]\s{{0,8}})
         ("(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | \S+)""",
    re.IGNORECASE | re.VERBOSE,
)
_AUTHORIZATION = re.compile(r"(authorization[\"']?\s{0,8}[=:]\s{0,8})[^\r\n]+", re.IGNORECASE)
_WORD = re.compile(r"\S+")
_BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_SECRET_QUERY = re.compile(
    r"(?i)(?<=[?&;])(pass(?:word|wd)?|pwd|token|access_token|secret|api_?key|key|auth)=[^&;\s]*"
)


def is_secret_name(name: str) -> bool:
    """Return whether a field of this name is never shown: password, token, secret and the like."""
    return _SECRET_KEY.search(name) is not None


def without_credentials(text: str) -> str:
    """Return ``text`` with the user part of every URL in it masked.

    >>> without_credentials("cannot open rtsp://joe:secret@cam/1")
    'cannot open rtsp://***@cam/1'
    """
    if "://" not in text or "@" not in text:
        return text
    return _WORD.sub(lambda match: _without_user(match[0]), text)


def mask_url(text: str) -> str:
    """Return a URL with its user name and password, and secrets in its query, masked.

    >>> mask_url("rtsp://admin:hunter2@10.0.0.9/h264?token=abc&channel=1")
    'rtsp://***@10.0.0.9/h264?token=***&channel=1'
    """
    return _SECRET_QUERY.sub(rf"\1={HIDDEN}", without_credentials(text))


def redact(text: str) -> str:
    """Return ``text`` without secrets: users of URLs, named values, bearer tokens, private keys.

    >>> redact("rtsp://admin:s3cret@10.0.0.7/stream failed, token=abc")
    'rtsp://***@10.0.0.7/stream failed, token=***'
    """
    text = without_credentials(_PRIVATE_KEY.sub(rf"\1{HIDDEN}\2", text))
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(lambda match: match[1] + _hidden(match[2]), text)
    return _BEARER.sub(rf"\1{HIDDEN}", text)


def _without_user(word: str) -> str:
    """Hide from the first :// to the last @: a password may hold @, / and quotes, unescaped."""
    scheme, mark, rest = word.partition("://")
    if not mark or "@" not in rest:
        return word
    return f"{scheme}://{HIDDEN}@{rest.rpartition('@')[2]}"


def _hidden(value: str) -> str:
    quote = value[0] if value[0] in "\"'" and value[-1] == value[0] else ""
    return f"{quote}{HIDDEN}{quote}"
