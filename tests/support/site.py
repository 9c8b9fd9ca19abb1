"""A broker as ``deploy/mosquitto`` sets it up for a site: TLS, passwords, access list."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import free_port, require_tool
from tests.support.mosquitto import Mosquitto

DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto"
USERS = ("pitwatch", "scada", "vision", "panel", "plc", "ignition")


def password(user: str) -> str:
    return f"secret of {user}"


class SiteBroker(Mosquitto):
    """The deployed configuration, unchanged but for its paths and ports.

    ``url`` is the TLS listener under the name ``localhost``; ``port`` is a second one without TLS,
    under the same rules, for the test's own clients. ``certificate`` and ``key`` replace the
    broker's certificate.
    """

    def __init__(
        self, folder: Path, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        require_tool("mosquitto_passwd", "openssl")
        super().__init__(folder)
        self.folder = folder / "site"
        self.tls_port = free_port()
        run(
            DEPLOYED / "make-certificates", self.folder,
            "--broker", "localhost", "--client", "pitwatch",
        )  # fmt: skip
        for user in USERS:
            create = [] if (self.folder / "passwords").exists() else ["-c"]
            run("mosquitto_passwd", *create, "-b", self.folder / "passwords", user, password(user))
        (self.folder / "acl").write_text((DEPLOYED / "acl").read_text())
        text = (DEPLOYED / "mosquitto.conf").read_text()
        for before, after in (
            ("/etc/mosquitto/pitwatch/broker.pem", certificate or self.folder / "broker.pem"),
            ("/etc/mosquitto/pitwatch/broker.key", key or self.folder / "broker.key"),
            ("/etc/mosquitto/pitwatch", self.folder),
            ("/var/lib/mosquitto/", f"{self.folder}/"),
            ("listener 8883", f"listener {self.tls_port} 127.0.0.1"),
        ):
            assert before in text, before
            text = text.replace(before, str(after))
        self._config.write_text(f"{text}\nuser root\nlistener {self.port} 127.0.0.1\n")

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.tls_port}"

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"


def run(*words: object) -> str:
    """Run a program to its end and return what it said; an error shows its words."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def site_broker(
    folder: Path, certificate: Path | None = None, key: Path | None = None
) -> Iterator[SiteBroker]:
    """Run the site's broker for the length of a ``with`` block."""
    broker = SiteBroker(folder, certificate, key)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
