"""Records cross threads and processes: nobody may change one, and each has one name to import."""

from __future__ import annotations

import dataclasses
import importlib
import pickle
import pkgutil

import numpy as np
import pytest

from agent import records

MODULES = [
    importlib.import_module(f"{records.__name__}.{found.name}")
    for found in pkgutil.iter_modules(records.__path__)
]
DEFINED = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if getattr(value, "__module__", "") == module.__name__
}
CLASSES = [value for value in DEFINED.values() if dataclasses.is_dataclass(value)]


@pytest.mark.parametrize("record", CLASSES, ids=lambda record: record.__name__)
def test_a_record_is_frozen_and_slotted(record: type) -> None:
    assert record.__dataclass_params__.frozen
    assert "__slots__" in vars(record)


def test_every_record_has_the_package_for_its_place() -> None:
    assert set(DEFINED) <= set(records.__all__)
    assert all(getattr(records, name) is value for name, value in DEFINED.items())


def test_a_frame_comes_through_a_pipe_as_it_went_in() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    machine = records.MachineInfo(records.MachineState.RUNNING, fruit_id="f-1", encoder=7)
    frame = records.Frame("lane1", "lane1-s-1", 1, 1_700_000_000_000, 2.5, image, machine=machine)
    back = pickle.loads(pickle.dumps(frame))
    assert np.array_equal(back.image, image)
    assert back.machine == machine
    assert (back.lane, back.frame_id, back.seq) == ("lane1", "lane1-s-1", 1)
