"""No test of the ablation depends on which of two ways was the faster on this machine."""

import pytest

from agent.ablation.core import timing


@pytest.fixture(autouse=True)
def rows_wherever_they_agree(request, monkeypatch):
    if "timed" not in request.fixturenames:
        monkeypatch.setattr(timing, "slower", lambda *_, **__: None)
