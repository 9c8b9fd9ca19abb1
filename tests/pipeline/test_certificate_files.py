"""Which files are watched for their end: those of certificates that are in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import Config
from agent.pipeline.factories import certificate_files

MQTT = {"ca": Path("ca.pem"), "certificate": Path("c.pem"), "key": Path("c.key")}
HTTP = {"certificate": Path("h.pem"), "key": Path("h.key"), "client_ca": Path("people.pem")}


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        (
            {"mqtt": {"broker": "mqtts://b:8883", "tls": MQTT}, "http": {"tls": HTTP}},
            {"client": "c.pem", "ca": "ca.pem", "http": "h.pem", "http_client_ca": "people.pem"},
        ),
        ({"mqtt": {"broker": "mqtts://b"}}, {}),
        ({"mqtt": {"broker": "none"}, "http": {"enabled": False, "tls": HTTP}}, {}),
        ({"mqtt": {"broker": "mqtts://b", "tls": {"ca": Path("ca.pem")}}}, {"ca": "ca.pem"}),
    ],
)
def test_the_files_that_are_in_use_are_named_by_their_use(
    settings: dict[str, Any], files: dict[str, str]
) -> None:
    config = Config.model_validate(settings)
    assert certificate_files(config) == {use: Path(name) for use, name in files.items()}
