"""Short-lived links to pictures, for SCADA screens that can show a URL but send no password.

A link names one path and the second until which it holds; ``signature`` is an HMAC over both. It
opens that picture and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import parse_qs, quote

SIGNATURE_BYTES = 16
PURPOSE = b"pitwatch picture links 1"


class Signer:
    """Signs paths. The key comes from ``secret``, so that links outlive a restart; without one it
    is new at each start. ``now`` is always the Unix time in seconds."""

    def __init__(self, secret: str | None, valid_s: float) -> None:
        key = secret.encode() if secret else secrets.token_bytes(32)
        self._secret = secret
        self._key = hmac.new(key, PURPOSE, hashlib.sha256).digest()
        self._valid_s = valid_s

    def renewed(self, secret: str | None, valid_s: float) -> Signer:
        """Return one for other settings; links of this one open there if the secret is the same."""
        other = Signer(secret, valid_s)
        if secret == self._secret:
            other._key = self._key
        return other

    def signed(self, path: str, now: float) -> str:
        """Return ``path`` (not quoted) as a link that holds for ``valid_s`` from now."""
        until = int(now + self._valid_s)
        return f"{quote(path)}?until={until}&signature={self._signature(path, until)}"

    def holds(self, path: str, query: str, now: float) -> bool:
        """Return whether the query string opens ``path`` now."""
        values = parse_qs(query, max_num_fields=8) if query.count("&") < 8 else {}
        until, signature = values.get("until", [""])[0], values.get("signature", [""])[0]
        if not (until.isascii() and until.isdecimal() and len(until) <= 12 and signature.isascii()):
            return False
        return now < int(until) and hmac.compare_digest(
            signature, self._signature(path, int(until))
        )

    def _signature(self, path: str, until: int) -> str:
        message = f"{until} {path}".encode()
        return hmac.new(self._key, message, hashlib.sha256).digest()[:SIGNATURE_BYTES].hex()
