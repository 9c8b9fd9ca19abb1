"""Until when certificates hold, as their files say, and what is told of it."""

from __future__ import annotations

import base64
import datetime
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.certificates import DAY_S, CertificateError, CertificateWatch, expiries, holds_until
from tests.publishing.certificates import Authority
from tests.publishing.examples import Books

LOGGER = "agent.certificates"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def openssl_says(file: Path) -> str:
    asked = ["openssl", "x509", "-in", str(file), "-noout", "-enddate", "-dateopt", "iso_8601"]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.parametrize("days", [1, 400, 9_000, 20_000])  # the last two: beyond 2049
def test_the_end_is_that_which_openssl_reads(authority: Authority, days: int) -> None:
    certificate, _ = authority.issue(f"days{days}", days=days)
    until = holds_until(certificate, authorities=False)
    stamp = datetime.datetime.fromtimestamp(until, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    assert openssl_says(certificate) == f"notAfter={stamp}\n"


def test_a_chain_holds_until_its_first_end_and_authorities_until_their_last(
    authority: Authority, tmp_path: Path
) -> None:
    short, long = (authority.issue(f"of{days}", days=days)[0] for days in (5, 50))
    both = tmp_path / "both.pem"
    both.write_bytes(b"# as some tools write\n" + long.read_bytes() + short.read_bytes())
    first, second = expiries(both.read_bytes())
    assert round((first - second) / DAY_S) == 45
    assert holds_until(both, authorities=False) == second
    assert holds_until(both, authorities=True) == first


def damaged(authority: Authority) -> list[bytes]:
    whole = authority.certificate.read_bytes()
    body = b"".join(line for line in whole.splitlines() if not line.startswith(b"-----"))
    der = base64.b64decode(body)
    wrapped = b"-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
    cuts = [der[:count] for count in range(1, 200, 7)]
    pieces = [b"\x30\x80", b"\xff" * 50, b"\x30\x84\xff\xff\xff\xff\x00", b"abc", *cuts]
    return [wrapped % base64.b64encode(piece) for piece in pieces] + [
        wrapped % b"!!!",
        b"",
        b"no certificate",
        whole[:300],
        b"\x00" * 1000,
    ]


def test_what_is_no_certificate_is_an_error_that_names_its_file(
    authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.pem"
    for content in damaged(authority):
        file.write_bytes(content)
        with pytest.raises(CertificateError, match=r"wrong\.pem: holds (no|a damaged) certificate"):
            holds_until(file, authorities=False)
    with pytest.raises(CertificateError, match=r"absent: No such file"):
        holds_until(tmp_path / "absent", authorities=True)
    with pytest.raises(CertificateError, match=r"directory"):
        holds_until(tmp_path, authorities=True)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    lines = [record for record in caplog.records if record.name == LOGGER]
    caplog.clear()
    return [(line.levelname, line.getMessage()) for line in lines]


def test_the_end_is_a_metric_and_warned_of_at_30_7_and_1_days_and_when_it_has_come(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, _ = authority.issue("renewed", days=100)
    file = tmp_path / "client.pem"
    file.write_bytes(certificate.read_bytes())
    until = holds_until(file, authorities=False)
    now = until - 90 * DAY_S
    books = Books()
    watch = CertificateWatch({"client": file}, books, lambda: now)
    with caplog.at_level("INFO", LOGGER):
        said: dict[float, Any] = {}
        for days in (90, 30.5, 29.5, 29, 6, 5.9, 0.9, 0.5, -0.1, -3):
            now = until - days * DAY_S
            watch.look()
            said[days] = told(caplog)
        assert books.gauges["certificate_expiry_timestamp_seconds", "client"] == until
        warned = {days: lines for days, lines in said.items() if lines}
        warning, error = ("WARNING", "certificate_expires"), ("ERROR", "certificate_expires")
        assert warned == {29.5: [warning], 6: [warning], 0.9: [warning], -0.1: [error]}
        newer, _ = authority.issue("renewed2", days=200)
        file.write_bytes(newer.read_bytes())
        watch.look()
        assert told(caplog) == [("INFO", "certificate_renewed")]
        assert books.gauges["certificate_expiry_timestamp_seconds", "client"] > until
        now = until + 95 * DAY_S
        watch.look()
        assert told(caplog) == [warning], "the new one is warned of in its turn"


def test_one_that_is_near_its_end_at_the_start_is_warned_of_once(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, _ = authority.issue("near", days=1)
    watch = CertificateWatch({"http": certificate}, Books())
    watch.look()
    watch.look()
    assert told(caplog) == [("WARNING", "certificate_expires")]


def test_a_file_that_cannot_be_read_is_named_once_and_the_others_are_looked_at(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books()
    files = {"client": tmp_path / "absent.pem", "ca": authority.certificate}
    watch = CertificateWatch(files, books, lambda: 0.0)
    watch.look()
    watch.look()
    assert told(caplog) == [("WARNING", "certificate_unreadable")]
    assert ("certificate_expiry_timestamp_seconds", "ca") in books.gauges
    assert ("certificate_expiry_timestamp_seconds", "client") not in books.gauges


def test_without_files_nothing_runs() -> None:
    watch = CertificateWatch({}, Books())
    watch.start()
    watch.stop()
