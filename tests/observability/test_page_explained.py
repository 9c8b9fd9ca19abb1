"""What the page says of an explanation: the numbers of its record, and whether they are usual."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from agent.observability.view import UsualView
from agent.records import ClassExplanation, Rung, SamplingClass
from tests.observability.conftest import ANGLE, ONE, FakeAgent, ServeAgent
from tests.observability.samples import explanation, frame, overlay
from tests.support.chromium import Chromium

SAYS = "document.querySelector('.class .charts').innerText"
LOOK = "document.dispatchEvent(new Event('visibilitychange'))"
"""It asks for news at once."""


class Said:
    """The page after one more explanation."""

    def __init__(self, agent: FakeAgent, browser: Chromium) -> None:
        self._agent = agent
        self._browser = browser
        self._seq = 10

    def __call__(
        self,
        usual: UsualView,
        sampling_class: SamplingClass = SamplingClass.PERIODIC,
        rung: Rung = Rung.EXACT,
        *,
        range_fixed: bool = True,
        **suture: object,
    ) -> str:
        self._seq += 1
        self._agent.usual["cam1"] = usual
        shown = frame(seq=self._seq, mono=time.monotonic())
        made = explanation(shown, (replace(overlay("suture"), range_fixed=range_fixed),))
        one: ClassExplanation = replace(made.classes[0], **suture)  # type: ignore[arg-type]
        self._agent.newest.on_explanation(
            replace(made, classes=(one,), sampling_class=sampling_class, rung=rung)
        )
        self._browser.run(LOOK)
        self._browser.wait(
            f"cards.get('cam1').rows.get('suture').map?.frame_id === '{shown.frame_id}'"
        )
        return str(self._browser.run(SAYS)).replace("\u202f", " ").replace("\xa0", " ")


@pytest.mark.long
@pytest.mark.needs_chromium
def test_the_shares_are_those_of_the_record_and_are_compared_with_the_reference(
    busy: FakeAgent, serve: ServeAgent, browser: Chromium
) -> None:
    browser.open(serve().url + ONE)
    browser.wait(f"{ANGLE} === '12.5°'")
    says = Said(busy, browser)
    text = says(
        UsualView(), input_context_reliance=0.0249, relevance_mass={"suture": 0.2, "elsewhere": 0.8}
    )
    assert "suture 98 % · elsewhere 2 %" in text
    assert "No reference yet" in text
    assert "unsure" not in text
    assert "Estimated" not in text
    details = "document.querySelector('.class details').textContent"
    assert "of the map's orange: suture 20\u202f%, elsewhere 80\u202f%" in browser.run(details)
    assert "effect of hiding it in the picture 82\u202f%" in browser.run(details)
    assert "marks: ordinary" in browser.text(".legend")

    usual = UsualView("", 0.01, 0.09, 0.031)
    assert "As usual here: lately 3 % (1 % to 9 %)" in says(usual)
    text = says(replace(usual, mean=0.34), input_context_reliance=0.605)
    assert "suture 39 % · elsewhere 61 %" in text
    assert "More from elsewhere than usual: lately 34 %" in text
    assert "Less from elsewhere than usual" in says(replace(usual, mean=0.001))
    assert "Usual here: 1 % to 9 %" in says(replace(usual, mean=math.nan))
    text = says(replace(usual, held="the machine does not run"))
    assert "Not compared now: the machine does not run" in text
    assert "the reference does not fit what runs" in says(replace(usual, held="model A, not B"))

    text = says(usual, SamplingClass.UNCERTAIN, Rung.PARTIAL, input_context_reliance=math.nan)
    assert "Cannot be told for this fruit" in text
    assert "The model was unsure of this fruit" in text
    assert "Estimated in part" in text
    assert " · elsewhere" not in text
    says(usual, range_fixed=False)
    assert "scale of this map" in browser.text(".legend")
    text = says(usual, explainable=False, reason="<b>nothing</b> there")
    assert "This fruit cannot be explained" in text
    assert browser.run("document.querySelector('.legend').hidden")
    assert "<b>nothing</b> there" in browser.run(details)
    assert browser.errors == []
