"""Whom the server is to its clients, and whose certificates it trusts: as the files say by now."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

from agent import config
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""How often the files are looked at."""

Stamp = tuple[int, int, int]


def server_context(settings: config.HttpTls) -> ssl.SSLContext:
    """Return a context of the files; ``OSError`` where a server cannot be made of them."""
    assert settings.certificate is not None
    # An empty password, never none: OpenSSL would ask for it on the terminal.
    password = settings.key_password.get_secret_value() if settings.key_password else ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate, settings.key, password)
    if settings.client_ca:
        context.load_verify_locations(settings.client_ca)
        # Optional, since probes come without one; who needs it is decided per route.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


class ServerTls:
    """``context`` is for the listening server; each handshake uses the files as they were last seen
    good. The constructor raises ``OSError``. A thread looks at them: a disk that hangs holds up
    nobody.
    """

    def __init__(self, settings: config.HttpTls) -> None:
        self._settings = settings
        self._stamps = self._look()
        self._newest = server_context(settings)
        self._problem = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="http-tls", daemon=True)
        # The context of a connection can be exchanged while its handshake begins, for which this
        # callback is asked whether the client names a server or not. A context that serves cannot
        # be cleared of an authority.
        self.context = server_context(settings)
        self.context.sni_callback = self._exchange

    def start(self) -> None:
        """Look at the files from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait."""
        self._stopping.set()

    def refresh(self) -> None:
        """Read the files again if they have changed."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        try:
            newest = server_context(self._settings)
        except OSError as error:
            problem = str(error)
            if problem != self._problem:
                self._problem = problem
                log_event(
                    logger,
                    logging.WARNING,
                    "http_tls_files_unusable",
                    detail=problem,
                    instead="those of before",
                )
            return
        self._newest, self._stamps, self._problem = newest, stamps, ""
        log_event(logger, logging.INFO, "http_tls_files_read")

    def _exchange(
        self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._newest

    def _look(self) -> list[Stamp | None]:
        named = (self._settings.certificate, self._settings.key, self._settings.client_ca)
        return [_stamp(file) for file in named if file is not None]

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.refresh()
            except Exception:  # the top of the thread: the next look may do better
                logger.exception("http_tls_files_not_read", extra={"fields": {}})


def _stamp(file: Path) -> Stamp | None:
    """What changes with a file, behind links too; None: it is not there."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
