"""A private certificate authority for one test, made by the openssl program."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import require_tool

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
"""Made in no time, which cannot be said of RSA."""


class Authority:
    """Makes a CA in a folder, and certificates that it signs."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        require_tool("openssl")
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._run(
            "req", "-x509", *NEW_KEY, "-nodes", "-days", "1",
            "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(
        self, name: str, subject: str = "localhost", *, days: int = 1, password: str = ""
    ) -> tuple[Path, Path]:
        """Return certificate and key for ``subject``; ``days`` < 0: expired already."""
        key, request = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        certificate, extra = self._folder / f"{name}.pem", self._folder / f"{name}.ext"
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        self._run(
            "req", *NEW_KEY, *secret, "-subj", f"/CN={subject}",
            "-keyout", key, "-out", request,
        )  # fmt: skip
        extra.write_text(f"subjectAltName=DNS:{subject}\n")
        dates = ["-days", str(days)] if days > 0 else ["-days", "-1"]
        self._run(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", *dates, "-extfile", extra, "-out", certificate,
        )  # fmt: skip
        key.chmod(0o644)
        return certificate, key

    def _run(self, *words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=30)
