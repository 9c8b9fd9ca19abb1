"""Until when certificates hold: read off their files, told as a metric, and warned of in time."""

from __future__ import annotations

import base64
import datetime
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from agent.telemetry import Telemetry, log_event

logger = logging.getLogger(__name__)

CHECK_S = 60.0
WARN_DAYS = (30, 7, 1, 0)
"""A line is logged when so many days are left: a warning, and an error once none is."""

DAY_S = 86_400.0
FILE_BYTES_MAX = 4 * 1024 * 1024
"""A bundle of every public authority takes a twentieth of it."""

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _UTC_TIME, _GENERALISED_TIME, _VERSION = 0x30, 0x17, 0x18, 0xA0


class CertificateError(ValueError):
    """A file that holds no certificate; the text names it."""


def expiries(pem: bytes) -> list[float]:
    """Return the end of validity of every certificate in a PEM file, in its order, as Unix time.

    Raises ``ValueError`` for what is no certificate (RFC 5280, section 4.1) and for none at all.
    """
    found = [_expiry(base64.b64decode(body)) for body in _PEM.findall(pem)]
    if not found:
        raise ValueError("holds no certificate")
    return found


def holds_until(file: Path, *, authorities: bool) -> float:
    """Return until when a file is good for TLS, as Unix time.

    A chain is good until the first of it ends; of authorities one that still holds is enough, since
    a new one is put beside the old one before that ends. Raises ``CertificateError``.
    """
    try:
        with file.open("rb") as opened:
            ends = expiries(opened.read(FILE_BYTES_MAX))
    except OSError as error:
        raise CertificateError(f"{file}: {error.strerror or type(error).__name__}") from error
    except ValueError as error:
        raise CertificateError(f"{file}: {error}") from error
    return max(ends) if authorities else min(ends)


def _expiry(der: bytes) -> float:
    """Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version OPTIONAL, serialNumber,
    signature, issuer, validity SEQUENCE { notBefore, notAfter } ...} ...}."""
    try:
        (_, certificate), *_ = _elements(der)
        (_, signed), *_ = _elements(certificate)
        fields = [field for field in _elements(signed) if field[0] != _VERSION]
        tag, validity = fields[3]
        (_, _), (kind, not_after) = _elements(validity)
    except (IndexError, ValueError) as error:
        raise ValueError("holds a damaged certificate") from error
    if tag != _SEQUENCE or kind not in (_UTC_TIME, _GENERALISED_TIME):
        raise ValueError("holds a damaged certificate")
    text = not_after.decode("ascii", "replace")
    if kind == _UTC_TIME:  # two digits of the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    end = datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
    return end.timestamp()


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element; ``IndexError`` or ``ValueError`` where it is cut."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[at : at + count])
            at += count
        if at + length > len(der):
            raise ValueError("cut short")
        yield tag, der[at : at + length]
        at += length


class CertificateWatch:
    """Looks at files once a minute, in a thread of its own: a disk that hangs holds nobody up.

    ``files`` are those of each use; a use whose name ends in ``ca`` names authorities. Each file
    that could be read is told in ``certificate_expiry_timestamp_seconds``.
    """

    def __init__(
        self,
        files: Mapping[str, Path],
        telemetry: Telemetry,
        utc_s: Callable[[], float] = time.time,
    ) -> None:
        self._files = dict(files)
        self._telemetry = telemetry
        self._utc_s = utc_s
        self._until: dict[str, float] = {}
        self._warned: dict[str, int] = {}  # the last of ``WARN_DAYS`` that was warned of
        self._problems: dict[str, str] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Look at once and from now on; nothing starts where there is nothing to look at."""
        if self._files:
            self._thread.start()

    def stop(self) -> None:
        """Look no more; does not wait."""
        self._stopping.set()

    def look(self) -> None:
        """Look at every file once."""
        for use, file in self._files.items():
            try:
                until = holds_until(file, authorities=use.endswith("ca"))
            except CertificateError as error:
                self._unreadable(use, str(error))
                continue
            self._problems.pop(use, None)
            self._telemetry.gauge("certificate_expiry_timestamp_seconds", until, use=use)
            if self._until.get(use, until) != until:
                self._warned.pop(use, None)
                self._log(logging.INFO, "certificate_renewed", use, days=self._days(until))
            self._until[use] = until
            self._warn(use, until)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:  # the top of the thread: the next look may do better
                logger.exception("certificates_not_looked_at", extra={"fields": {}})
            self._stopping.wait(CHECK_S)

    def _unreadable(self, use: str, problem: str) -> None:
        if self._problems.get(use) != problem:
            self._problems[use] = problem
            self._log(logging.WARNING, "certificate_unreadable", use, detail=problem)

    def _warn(self, use: str, until: float) -> None:
        days = self._days(until)
        passed = [limit for limit in WARN_DAYS if days <= limit]
        if not passed or passed[-1] >= self._warned.get(use, math.inf):
            return
        self._warned[use] = passed[-1]
        level = logging.WARNING if days > 0 else logging.ERROR
        self._log(level, "certificate_expires", use, days=days)

    def _days(self, until: float) -> float:
        return round((until - self._utc_s()) / DAY_S, 1)

    def _log(self, level: int, event: str, use: str, **fields: object) -> None:
        log_event(logger, level, event, use=use, file=str(self._files[use]), **fields)
