"""No test of a report depends on which of two ways was the faster on this machine, and none but
those that ask for ``timed`` waits until that is found out."""

import pytest

from agent.ablation import cut_model
from agent.ablation.core import timing

BATCH = 8


@pytest.fixture
def timed():
    """Batch and way are chosen by their times, as by the commands."""


@pytest.fixture(autouse=True)
def rows_wherever_they_agree(request, monkeypatch):
    if "timed" not in request.fixturenames:
        monkeypatch.setattr(timing, "slower", lambda *_, **__: None)
        monkeypatch.setattr(
            cut_model, "choose_batch", lambda split, *_: BATCH if split.together else 1
        )
