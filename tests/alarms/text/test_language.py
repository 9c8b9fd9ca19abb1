"""What operators read: complete in every language, and right in each."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest

from agent.alarms.catalogue import AGENT, BY_CAUSE, DEFINITIONS, Cause, Definition, Situation
from agent.alarms.condition import Condition, Detail
from agent.alarms.lifecycle.entry import CHATTER_REASON
from agent.alarms.signals.signals import BY_NAME
from agent.alarms.text.english import ENGLISH
from agent.alarms.text.italian import ITALIAN
from agent.alarms.text.language import Fact, Language
from agent.capture.states import Cause as CameraCause
from agent.config import Alarms
from agent.records import CameraState
from tests.alarms.support import TimedManager

LANGUAGES = pytest.mark.parametrize("language", [ENGLISH, ITALIAN], ids=["en", "it"])
EVERY = pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.cause)


def placeholders(pattern: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name}


@LANGUAGES
@EVERY
def test_an_alarm_says_what_where_and_what_to_do(
    definition: Definition, language: Language
) -> None:
    sentence = language.alarms[definition.cause].sentence
    assert "camera" in placeholders(sentence)
    assert placeholders(sentence) == placeholders(ENGLISH.alarms[definition.cause].sentence)
    assert placeholders(sentence) <= {"camera", "value", "limit", "window", "detail"}
    assert ":" in sentence  # what is wrong: what to do
    assert "/" not in language.title(definition)


@LANGUAGES
@EVERY
@pytest.mark.parametrize("value", [0.25, float("nan"), 1e9])
def test_a_sentence_can_always_be_made(
    definition: Definition, language: Language, value: float
) -> None:
    condition = Condition(definition.cause, "cam1", True, value=value, limit=0.2, window=10)
    text = language.sentence(definition, condition)
    assert "cam1" in text
    assert " nan" not in text
    assert "{" not in text
    assert len(text) < 320


@LANGUAGES
def test_every_fact_and_signal_has_words(language: Language) -> None:
    assert set(language.facts) == set(Fact)
    for fact, pattern in language.facts.items():
        assert placeholders(pattern) == placeholders(ENGLISH.facts[fact])
    assert set(language.signals) == set(BY_NAME)


@LANGUAGES
def test_what_a_diagnosis_found_is_said_with_what_to_do(language: Language) -> None:
    assert set(language.findings) == set(ENGLISH.findings)
    for fact, sentence in language.findings.items():
        assert placeholders(sentence) == placeholders(ENGLISH.findings[fact])
        assert {"camera", "detail"} <= placeholders(sentence)
        assert ":" in sentence
        values = {"share": 0.9, "signal": "warmth", "value": 1.0, "low": 2.0, "high": 3.0}
        values |= {"level": 8.0, "usual": 150.0, "seconds": 300.0}
        found = Condition(
            Cause.SEGMENTATION_DEGRADED, "cam1", True, window=280, detail=Detail(fact, values)
        )
        text = language.sentence(BY_CAUSE[Cause.SEGMENTATION_DEGRADED], found)
        assert "{" not in text
        assert len(text) < 320


def test_another_language_knows_every_fixed_word_of_ours() -> None:
    states = {state.value for state in CameraState}
    causes = {cause.value for cause in CameraCause}
    situations = {situation.value for situation in Situation}
    assert states | causes | situations | {CHATTER_REASON} <= set(ITALIAN.terms)


def test_no_word_is_left_in_english() -> None:
    for part in ("title", "sentence"):
        assert all(
            getattr(ITALIAN.alarms[cause], part) != getattr(ENGLISH.alarms[cause], part)
            for cause in ENGLISH.alarms
        )
    assert all(ITALIAN.signals[key] != ENGLISH.signals[key] for key in ENGLISH.signals)


@LANGUAGES
def test_a_language_without_the_words_of_an_alarm_is_refused(language: Language) -> None:
    short = {cause: text for cause, text in language.alarms.items() if cause != "spool_loss"}
    with pytest.raises(ValueError, match="no words for spool_loss"):
        replace(language, alarms=short)


@pytest.mark.parametrize(
    ("language", "detail", "words"),
    [
        (ENGLISH, Detail(Fact.NO_FRUIT, {"seconds": 1234.4}), "no fruit for 1234 s"),
        (ITALIAN, Detail(Fact.NO_FRUIT, {"seconds": 1234.4}), "nessun frutto da 1234 s"),
        (
            ENGLISH,
            Detail(
                Fact.SIGNAL, {"signal": "suture_margin", "value": 2.1, "low": 4.8, "high": 6.25}
            ),
            "margin of the suture 2.1, usually 4.8 to 6.25",
        ),
        (
            ITALIAN,
            Detail(
                Fact.SIGNAL, {"signal": "suture_margin", "value": 2.1, "low": 4.8, "high": 6.25}
            ),
            "margine della sutura 2,1, di solito da 4,8 a 6,25",
        ),
        (
            ENGLISH,
            Detail(Fact.CAMERA_STATE, {"state": "backoff", "cause": "child_died"}),
            "backoff: child died",
        ),
        (
            ITALIAN,
            Detail(Fact.CAMERA_STATE, {"state": "backoff", "cause": "child_died"}),
            "in attesa di riprovare: processo di acquisizione terminato",
        ),
        (ENGLISH, Detail(Fact.UNREADABLE, {"share": 0.254}), "25 % of them cannot be read"),
        (
            ITALIAN,
            Detail(Fact.DISK_UNREACHED, {"reason": "disk I/O error"}),
            "nulla arriva al disco (disk I/O error)",
        ),
        (ITALIAN, "words of another program", "words of another program"),
        (ITALIAN, "", "nessun'altra indicazione"),
    ],
)
def test_a_detail_is_said_in_the_language(
    language: Language, detail: Detail | str, words: str
) -> None:
    definition = BY_CAUSE[Cause.SPOOL_LOSS]
    assert words in language.sentence(
        definition, Condition(Cause.SPOOL_LOSS, AGENT, True, detail=detail)
    )


def test_quantities_are_written_as_people_say_them() -> None:
    late = Condition(Cause.LATENCY_BUDGET, "cam1", True, value=0.2891, limit=1.25, window=280)
    definition = BY_CAUSE[Cause.LATENCY_BUDGET]
    assert "289 ms (limit 1.25 s)" in ENGLISH.sentence(definition, late)
    assert "289 ms (limite 1,25 s)" in ITALIAN.sentence(definition, late)


def test_what_is_about_the_agent_says_so() -> None:
    definition = BY_CAUSE[Cause.WORKERS_DEGRADED]
    condition = Condition(Cause.WORKERS_DEGRADED, AGENT, True)
    for language, agent in ((ENGLISH, "this agent"), (ITALIAN, "questo agente")):
        assert agent in language.sentence(definition, condition)
        assert agent in language.sentence_when_normal(definition, AGENT)
        assert agent in language.sentence_when_cleared(definition, AGENT)


def test_the_manager_speaks_the_configured_language_from_the_first_record_to_the_last() -> None:
    timed = TimedManager(language="it")
    lost = Condition(Cause.CAMERA_FROZEN, "cam1", True)
    normal, raised = timed.manager.update(lost, 1.0, 1000)
    assert (normal.title, normal.message) == (
        "Telecamera bloccata",
        "Non è il caso su cam1: telecamera bloccata.",
    )
    assert raised.message == ITALIAN.sentence(BY_CAUSE[Cause.CAMERA_FROZEN], lost)
    (suppressed,) = timed.manager.update(
        Condition(Cause.CAMERA_FROZEN, "cam1", True, suppressed_by=Situation.NOT_RUNNING.value),
        2.0,
        2000,
    )
    assert suppressed.suppressed_by == "la macchina non è in marcia"
    assert suppressed.message.endswith("Non segnalato: la macchina non è in marcia.")


def test_a_language_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'en' or 'it'"):
        Alarms(language="de")
