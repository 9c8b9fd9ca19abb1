"""What takes over a changed key: every key has its part, and no difference shows a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config import Config, words
from agent.config.difference import Change, differences, held_back
from agent.config.load import load_config
from agent.config.reload import PARTS, Part, part_of
from agent.config.reload_table import FILE, keys, lines, with_table

BASE: dict[str, Any] = {
    "cameras": ({"name": "cam1", "source": "sim:"}, {"name": "cam2", "source": "sim:?rate=1"}),
    "mqtt": {"broker": "mqtt://broker:1883"},
}


def of(**sections: Any) -> Config:
    return Config(**(BASE | sections))


def changed(before: Config, after: Config) -> dict[str, Change]:
    return {one.path: one for one in differences(before, after)}


@pytest.mark.parametrize("key", words.all_paths())
def test_every_key_of_the_schema_has_its_part(key: str) -> None:
    assert part_of(key) in Part


def test_no_part_is_named_for_a_key_that_is_none() -> None:
    assert set(PARTS) <= set(words.all_paths())
    with pytest.raises(KeyError):
        part_of("mqttt.broker")


def test_the_readme_has_the_table_as_it_is() -> None:
    readme = FILE.read_text("utf-8")
    assert with_table(readme) == readme, "run python -m agent.config.reload_table"
    assert "\n".join(lines()) in readme
    assert all(f"| `{key}` |" in readme for key in keys())


def test_the_same_configuration_has_no_difference() -> None:
    assert differences(of(), of()) == ()


def test_a_key_is_told_with_both_values_and_its_part() -> None:
    after = of(alarms={"limits": {"no_read_rate": 0.3}}, sampling={"period_s": 4})
    assert changed(of(), after) == {
        "sampling.period_s": Change(
            "sampling.period_s", "sampling.period_s", "2.0", "4.0", Part.AT_ONCE
        ),
        "alarms.limits.no_read_rate": Change(
            "alarms.limits.no_read_rate",
            "alarms.limits.no_read_rate",
            "0.2",
            "0.3",
            Part.AT_ONCE,
        ),
    }


def test_cameras_and_lanes_are_told_apart_by_their_names() -> None:
    lanes = (
        {"name": "left", "region": (0, 0, 32, 32)},
        {"name": "right", "region": (32, 0, 32, 32)},
    )
    after = of(
        cameras=(
            {"name": "cam2", "source": "sim:?rate=2"},
            {"name": "cam3", "source": "sim:?lanes=2", "lanes": lanes},
        )
    )
    found = changed(of(), after)
    assert list(found) == ["cameras[cam1]", "cameras[cam2].source", "cameras[cam3]"]
    assert next(one.after for one in found.values()) == "-"
    assert {one.camera for one in found.values()} == {"cam1", "cam2", "cam3"}
    assert {one.part for one in found.values()} == {Part.CAMERA}
    moved = of(cameras=tuple(reversed(of().cameras)))
    assert [(one.path, one.part) for one in differences(of(), moved)] == [("cameras", Part.AT_ONCE)]


def test_where_a_camera_cuts_is_taken_over_without_its_process() -> None:
    after = of(cameras=({**BASE["cameras"][0], "mm_per_px": 0.5}, BASE["cameras"][1]))
    (one,) = differences(of(), after)
    assert (one.path, one.part, one.camera) == ("cameras[cam1].mm_per_px", Part.AT_ONCE, "cam1")


def test_no_secret_is_in_what_is_told() -> None:
    before = of(
        mqtt={"broker": "mqtt://me:oldsecret@broker:1883"}, http={"token": "oldsecret-oldsecret"}
    )
    after = of(
        mqtt={"broker": "mqtt://broker:1883", "username": "me", "password": "newsecret"},
        http={"token": "newsecret-newsecret"},
        cameras=({"name": "cam1", "source": "rtsp://me:newsecret@camera/1"},),
    )
    found = changed(before, after)
    assert "secret" not in repr(found)
    assert (found["http.token"].before, found["http.token"].after) == ('"***"', '"***"')
    assert found["mqtt.broker"].part is Part.PUBLISHER


@pytest.mark.parametrize("other", ["embedded", "none"])
def test_another_kind_of_broker_needs_a_restart_and_takes_all_that_is_of_it_along(
    other: str,
) -> None:
    after = of(mqtt={"broker": other, "keepalive_s": 20}, sampling={"period_s": 4})
    found = changed(of(), after)
    assert found["mqtt.keepalive_s"].part is Part.RESTART
    assert found["sampling.period_s"].part is Part.AT_ONCE
    held = held_back(of(), after, found.values())
    assert (held.mqtt, held.sampling) == (of().mqtt, after.sampling)


def test_what_needs_a_restart_keeps_its_value() -> None:
    after = of(
        id="other",
        model={"device": "cpu"},
        ablation={"classes": ("suture",), "seed": 4},
        http={"port": 1234, "page": False},
    )
    held = held_back(of(), after, differences(of(), after))
    assert (held.id, held.model, held.http.port) == ("pitwatch", of().model, 9464)
    assert held.ablation.classes == of().ablation.classes
    assert (held.ablation.seed, held.http.page) == (4, False)
    assert {one.part for one in differences(of(), held)} == {Part.WORKERS, Part.SERVER}


def test_a_long_value_is_shown_by_its_beginning() -> None:
    after = of(alarms={"reference": {f"variety{i}": Path(f"/a/file{i}") for i in range(50)}})
    (one,) = differences(of(), after)
    assert len(one.after) < 130
    assert one.after.startswith('{"variety0": "/a/file0"')


def test_a_file_says_which_options_stood_over_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("mqtt: {broker: none}\ncameras: [{name: cam1, source: 'sim:'}]\n")
    loaded = load_config(file)
    assert load_config(file, loaded.overrides).sha256 == loaded.sha256
