"""What operators do on the page: on a real manager, store and audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import config
from agent.observability.http.app_state import Acted
from agent.pipeline.page import actions
from agent.pipeline.page.actions import PageActions, page_actions
from agent.records import Command, CommandOutcome
from tests.pipeline.test_commands import ALARM, UTC_MS, Control
from tests.publishing.examples import Books

ADDRESS = "10.0.0.9"


class Page:
    """The actions of a page, carried out at once by who owns the alarms."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.control, self.books, self.posted = Control(folder), Books(), list[Command]()
        self.actions = PageActions(
            config.Commands(**settings),
            self.post,
            self.books,
            lambda: self.control.now,
            lambda: self.control.utc_ms,
        )
        self.answers, self.counted, self.number = True, False, 0

    def post(self, command: Command) -> None:
        self.posted.append(command)
        if not self.answers:
            return
        result = self.control.handler(command)
        self.control.persistence.save(result.records)
        self.control.handler.audit(command, result)
        self.actions.answered(command, result, counted=self.counted)

    def act(self, name: str, /, **said: object) -> Acted:
        self.number += 1
        body = {"command_id": f"page-{self.number}", "issued_ms": self.control.utc_ms,
                "user": "anna", **said}  # fmt: skip
        return self.actions.act(name, json.dumps(body).encode(), ADDRESS)

    @property
    def occurrence(self) -> dict[str, str]:
        return {"alarm_id": ALARM, "event_id": self.control.alarm.event_id}


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def test_each_action_does_what_the_command_does_and_is_audited_with_who_and_from_where(
    page: Page,
) -> None:
    assert page.act("comment", **page.occurrence, text="lamp") == Acted(CommandOutcome.DONE)
    assert page.act("ack", **page.occurrence).outcome is CommandOutcome.DONE
    assert page.act("shelve", **page.occurrence, duration_s=900).outcome is CommandOutcome.DONE
    assert page.control.alarm.shelved
    assert page.act("unshelve", **page.occurrence).outcome is CommandOutcome.DONE
    assert page.act("explain", camera="cam1").outcome is CommandOutcome.DONE
    assert page.control.explained == ["cam1"]
    alarm = page.control.alarm
    assert (alarm.acked_by, alarm.comment, alarm.shelved) == ("anna", "lamp", False)
    audit = "SELECT command, user, outcome, via FROM audit ORDER BY id"
    assert page.control.store.database.rows(audit) == [
        (name, "anna", "done", "page 10.0.0.9")
        for name in ("comment", "ack", "shelve", "unshelve", "explain")
    ]
    assert page.books.total("commands", "ack", "done") == 1


def test_two_tabs_that_acknowledge_at_once_and_a_double_click_do_it_once(page: Page) -> None:
    assert page.act("ack", **page.occurrence).outcome is CommandOutcome.DONE
    assert page.act("ack", **page.occurrence).outcome is CommandOutcome.ALREADY
    twice = {"camera": "cam1", "command_id": "one-click"}
    assert page.act("explain", **twice).outcome is CommandOutcome.DONE
    assert page.act("explain", **twice).outcome is CommandOutcome.ALREADY
    assert page.control.explained == ["cam1"]
    stale = page.act("comment", alarm_id=ALARM, event_id="s0-9", text="late")
    assert stale.outcome is CommandOutcome.STALE


@pytest.mark.parametrize(
    ("name", "said", "outcome", "words"),
    [
        ("ack", {"alarm_id": ALARM}, CommandOutcome.INVALID, "event_id is missing"),
        ("explain", {"camera": "cam1", "urgency": 3}, CommandOutcome.INVALID, "'urgency'"),
        ("explain", {"camera": "<script>"}, CommandOutcome.INVALID, "camera must match"),
        ("explain", {"camera": "cam1", "user": ""}, CommandOutcome.INVALID, "user must be"),
        ("explain", {"camera": "cam1", "issued_ms": UTC_MS - 3_600_000}, CommandOutcome.EXPIRED,
         "issued 3600 s ago"),
        ("explain", {"camera": "cam1", "issued_ms": UTC_MS + 3_600_000}, CommandOutcome.INVALID,
         "3600 s ahead"),
        ("explain", {"camera": "cam2"}, CommandOutcome.REFUSED, "no pictures"),
        ("variety", {"variety": "x", "lot": ""}, CommandOutcome.NOT_ALLOWED, "not from the page"),
        ("disable", {"alarm_id": ALARM}, CommandOutcome.NOT_ALLOWED, "commands.allow"),
        ("dance", {}, CommandOutcome.INVALID, "no such command"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_audited_and_counted(
    page: Page, name: str, said: dict[str, object], outcome: CommandOutcome, words: str
) -> None:
    acted = page.act(name, **said)
    assert (acted.outcome, words in acted.detail) == (outcome, True), acted
    assert page.control.explained == []
    rows = page.control.store.database.rows("SELECT outcome, via FROM audit")
    assert rows == [(outcome.value, "page 10.0.0.9")]
    known = name if name != "dance" else "other"
    assert page.books.total("commands", known, outcome) == 1


def test_bytes_that_are_no_json_are_refused(page: Page) -> None:
    assert page.actions.act("ack", b"\xff{", ADDRESS).outcome is CommandOutcome.INVALID


def test_more_than_the_rate_is_refused_and_counted_and_reaches_nobody(tmp_path: Path) -> None:
    page = Page(tmp_path, per_s=1.0)
    outcomes = [page.act("explain", camera="cam1").outcome for _ in range(25)]
    refused = outcomes.count(CommandOutcome.RATE_LIMITED)
    assert refused == 25 - len(page.posted) > 0
    assert page.books.total("commands", "explain", "rate_limited") == refused


def test_who_publishes_counts_the_command_and_the_page_does_not_count_it_again(page: Page) -> None:
    page.counted = True
    page.act("ack", **page.occurrence)
    assert page.books.total("commands") == 0


def test_an_agent_that_stops_or_does_not_answer_says_so(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "ANSWER_S", 0.01)
    page.answers = False
    assert page.act("explain", camera="cam1") == Acted(None, actions.LATE)
    page.answers = True
    page.actions.end()
    assert page.act("explain", camera="cam1") == Acted(None, actions.STOPS)
    assert len(page.posted) == 1


def test_the_page_offers_what_is_allowed_and_nothing_without_the_token() -> None:
    token = {"token": "who-shows-this-may-act"}
    assert page_actions(config.Config()) == ()
    some = config.Config(http={"actions": token}, commands={"allow": ["ack", "variety"]})
    assert page_actions(some) == ("ack",)
    assert page_actions(config.Config(http={"actions": token})) == actions.ACTIONS
    assert page_actions(config.Config(http={"enabled": False, "actions": token})) == ()
