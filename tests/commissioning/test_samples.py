"""What is collected, and going on with it after an interruption."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from agent.commissioning.errors import CommissioningError
from agent.commissioning.samples import (
    CupSample,
    ExplanationSample,
    FruitSample,
    Sample,
    SampleFile,
    read_samples,
)

HEADER = {"samples": 1, "source": "sim:", "variety": "golden", "model_sha256": "0"}
FRUIT = FruitSample("1/cam1", 3.5, {"entropy": 0.2, "stem_margin": math.nan}, 12.0)
EXPLAINED = ExplanationSample(
    "1/cam1", 3.5, {"score": 4.0}, np.array([0.5, -0.25]), {"suture": 2.0}
)


CUP = CupSample("1/cam1", 4.0, 0.02)


def written(path: Path, *samples: Sample) -> Path:
    file = SampleFile(path, HEADER, resume=False)
    for sample in samples:
        file.add(sample)
    file.close()
    return path


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    back = read_samples(written(tmp_path / "s", FRUIT, EXPLAINED, CUP), HEADER)
    (fruit,), (explained,) = back.fruit, back.explanations
    assert (fruit.lot, fruit.mono, fruit.angle_deg) == ("1/cam1", 3.5, 12.0)
    assert fruit.values["entropy"] == 0.2
    assert math.isnan(fruit.values["stem_margin"])
    assert explained.deltas.tolist() == [0.5, -0.25]
    assert back.cups == [CUP]
    assert (back.lots, back.end_mono) == (["1/cam1"], 4.0)


def test_a_cup_in_the_dark_has_no_colour_and_comes_back_without(tmp_path: Path) -> None:
    dark = CupSample("1/cam1", 4.0, math.nan)
    (back,) = read_samples(written(tmp_path / "s", FRUIT, dark), HEADER).cups
    assert math.isnan(back.chromaticity)


def test_a_line_cut_short_by_a_kill_costs_itself_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "s", FRUIT, FRUIT)
    path.write_text(path.read_text()[:-20])
    assert len(read_samples(path, HEADER).fruit) == 1


NO_DELTAS = '{"lot": "1", "mono": 1, "values": {}, "peaks": {}, "deltas": %s}'


@pytest.mark.parametrize(
    "line", ['{"lot": 3}', "[1]", *(NO_DELTAS % wrong for wrong in ('{"a": 1}', "[[1]]", "null"))]
)
def test_rubbish_in_the_middle_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = written(tmp_path / "s", FRUIT, FRUIT)
    lines = path.read_text().splitlines()
    lines[1] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(CommissioningError, match="line 2"):
        read_samples(path, HEADER)


def test_samples_of_another_source_are_not_gone_on_with(tmp_path: Path) -> None:
    path = written(tmp_path / "s", FRUIT)
    with pytest.raises(CommissioningError, match="something else"):
        read_samples(path, HEADER | {"variety": "amber"})
    with pytest.raises(CommissioningError, match="gone on from"):
        read_samples(tmp_path / "none", HEADER)


def test_going_on_appends_and_begins_no_second_header(tmp_path: Path) -> None:
    path = written(tmp_path / "s", FRUIT)
    file = SampleFile(path, HEADER, resume=True)
    file.add(EXPLAINED)
    file.close()
    back = read_samples(path, HEADER)
    assert (len(back.fruit), len(back.explanations)) == (1, 1)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommissioningError, match="cannot be written"):
        SampleFile(tmp_path / "file" / "s", HEADER, resume=False)
