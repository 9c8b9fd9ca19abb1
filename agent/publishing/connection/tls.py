"""Whom to trust and who we are, from the configuration; every mistake named with its key."""

from __future__ import annotations

import contextlib
import logging
import selectors
import ssl

from agent.config import Tls
from agent.telemetry import log_event

logger = logging.getLogger(__name__)


class TlsError(ValueError):
    """A TLS file that cannot be used; the text starts with the key that names it."""


class AlertSocket(ssl.SSLSocket):
    """A socket that remembers the alert by which the other side ended TLS; empty: there was none.

    In TLS 1.3 the handshake is over for the client before the server has looked at its certificate
    (RFC 8446, section 2): that the server does not trust it is told to whoever reads first.
    """

    alert: str = ""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.alert = (error.reason or str(error)).lower().replace("_", " ")
            raise

    def wait_for_verdict(self, timeout_s: float) -> None:
        """Return when the server has said anything after the handshake, or after ``timeout_s``.

        Most send tickets for later sessions once they trust the client. To send before the verdict
        would lose it: a server that closes with bytes unread resets the connection.
        """
        if self.version() != "TLSv1.3":
            return
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.select(timeout_s)


class TlsFiles:
    """The files that ``mqtt.tls`` names. The constructor raises ``TlsError``."""

    def __init__(self, tls: Tls, client: str) -> None:
        self._tls = tls
        self._client = client
        self._newest = tls_context(tls)
        self._problem = ""

    def context(self) -> ssl.SSLContext:
        """Return a context of what the files hold now.

        While they cannot be used (one of two is renewed already, a disk is away) it is that of
        before, and a warning is logged. May wait for the disk.
        """
        try:
            self._newest = tls_context(self._tls)
        except TlsError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log_event(
                    logger,
                    logging.WARNING,
                    "tls_files_unusable",
                    client=self._client,
                    detail=self._problem,
                    instead="those of before",
                )
        else:
            self._problem = ""
        return self._newest


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return a context that checks the broker's certificate and name, TLS 1.2 or newer.

    Without ``ca`` the system's authorities are trusted. Raises ``TlsError``.
    """
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    except OSError as error:
        raise TlsError(f"mqtt.tls.ca: {tls.ca}: {_reason(error)}") from error
    context.sslsocket_class = AlertSocket
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
