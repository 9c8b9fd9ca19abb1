"""Whom to trust and who we are, from the configuration; every mistake named with its key."""

from __future__ import annotations

import ssl

from agent.config import Tls


class TlsError(ValueError):
    """A TLS file that cannot be used; the text starts with the key that names it."""


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that checks the broker's certificate and name, TLS 1.2 or newer.

    Without ``ca`` the system's authorities are trusted. Raises ``TlsError``.
    """
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    except OSError as error:
        raise TlsError(f"mqtt.tls.ca: {tls.ca}: {_reason(error)}") from error
    if tls.certificate is None:
        return context
    password = tls.key_password.get_secret_value() if tls.key_password is not None else ""
    try:
        # An empty password, never none: OpenSSL would ask for it on the terminal.
        context.load_cert_chain(tls.certificate, tls.key, password=password)
    except OSError as error:
        raise TlsError(
            f"mqtt.tls.certificate, key: {tls.certificate}, {tls.key}: {_reason(error)}"
        ) from error
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "not usable"
    return error.strerror or type(error).__name__
