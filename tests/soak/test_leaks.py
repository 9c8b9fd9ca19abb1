"""The proof of no leaks, short; and that it would find one."""

import numpy as np
import pytest
import torch

from tests.soak import leaks

FEW, READINGS = 8, 5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.mark.long
@pytest.mark.parametrize("rows", [True, False])
def test_explanations_leave_no_hook_and_no_graph(rows):
    left = leaks.run(leaks._engine(rows=rows), FEW, READINGS)
    assert (left.hooks, left.more) == (0, 0)


@pytest.mark.long
def test_what_stays_is_found(monkeypatch):
    engine = leaks._engine(rows=True)
    kept = []
    right = engine.explain

    def leaking(image, **more):
        # Larger than anything that the allocator would take from what was freed before.
        kept.append((np.ones(8 << 20), torch.nn.Identity()))
        engine.model.module.register_forward_hook(lambda *_: None)
        return right(image, **more)

    monkeypatch.setattr(engine, "explain", leaking)
    found = list(leaks.misses(leaks.run(engine, FEW, READINGS)))
    assert len(found) == 3
    assert found[0].startswith("memory grows by")
    assert found[1] == f"{FEW} hooks stay on the model"
    assert found[2].endswith("graphs or modules stay alive")
