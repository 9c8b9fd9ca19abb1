"""What a configuration of recording may not say, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config.load import ConfigErrors
from agent.dataset.claim import Claim
from agent.preflight import load_config


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "pitwatch.yaml"
    file.write_text(f"mqtt: {{broker: none}}\n{text}")
    try:
        load_config(file)
    except ConfigErrors as errors:
        return [str(one) for one in errors.problems]
    return []


def test_it_is_on_with_a_place_alone(tmp_path: Path) -> None:
    assert problems(tmp_path, f"state_dir: {tmp_path}\nrecording: {{enabled: true}}\n") == []
    assert problems(tmp_path, f"recording: {{enabled: true, folder: {tmp_path}/r}}\n") == []
    (one,) = problems(tmp_path, "recording: {enabled: true}\n")
    assert "recording.enabled: true has no place for pictures" in one
    assert not (tmp_path / "r").exists(), "looked at, and not made"


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("limit_bytes: 1000", "is smaller than one recorded picture of cam1"),
        (
            "limit_bytes: 10000000",
            "recording.no_read.share: of recording.limit_bytes is smaller than one recorded",
        ),
        ("sure: {share: 0.9}", "recording: has shares of 1.8 together"),
        ("one_in: 3", "recording.one_in: is no key"),
        ("random: {one_in: 0}", "recording.random.one_in"),
        ("no_read: {per_minute: -1}", "recording.no_read.per_minute"),
        ("folder: /dev/null/r", "recording.folder: '/dev/null/r' cannot be used"),
    ],
)
def test_what_cannot_be_meant_is_named(tmp_path: Path, section: str, says: str) -> None:
    camera = "{name: cam1, source: 'sim:', width_px: 1600, height_px: 1200}"
    found = problems(tmp_path, f"cameras: [{camera}]\nrecording:\n  {section}\n")
    assert any(says in one for one in found), found


def test_a_share_of_nothing_is_allowed_below_a_picture(tmp_path: Path) -> None:
    shares: dict[str, Any] = dict.fromkeys(
        ("no_read", "uncertain", "implausible", "alarmed", "explained", "random", "sure"), 0.0
    )
    lines = "".join(f"  {name}: {{share: {share}}}\n" for name, share in shares.items())
    assert problems(tmp_path, f"recording:\n  limit_bytes: 1000000\n{lines}") == []


def test_the_folder_of_another_agent_is_named_with_its_owner(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "r", "another/line/agent")
    claim.take()
    claim.release()
    (one,) = problems(tmp_path, f"recording: {{folder: {tmp_path}/r}}\n")
    assert "holds the pictures of another agent: another/line/agent" in one
