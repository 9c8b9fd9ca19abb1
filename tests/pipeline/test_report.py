"""What the view says of the variety that runs."""

from __future__ import annotations

import math

from agent.pipeline.report import running_view
from agent.pipeline.running_word import InForce


def test_a_change_over_is_as_old_as_this_computers_clock_says_and_never_younger_than_now() -> None:
    word = InForce("cam1", "red", "L-7", "machine", 1_000_000)
    shown = running_view(word, 1_090_500)
    assert (shown.variety, shown.lot, shown.origin) == ("red", "L-7", "machine")
    assert (shown.since_utc_ms, shown.age_s) == (1_000_000, 90.5)
    assert running_view(word, 400_000).age_s == 0.0, "the clock was set back"
    nobody = running_view(InForce("cam1", "", "", "nobody", 0), 1_000_000)
    assert math.isnan(nobody.age_s)
