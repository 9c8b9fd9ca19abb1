"""A model is promoted and taken back again and again under load: no frame is lost by it, and the
live path does not feel it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import statistics
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from agent.models.card import card_path
from agent.models.loading import default_weights
from agent.supervision.control.client import ask
from agent.supervision.control.protocol import ControlError
from tests.soak.measure import READY_S, Disturbance, Plan, Run, measure
from tests.support.running import RunningAgent, running_agent

SHADOW = "{every: 2, share: 0.5, time_s: 5.0, pictures_min: 20, explain_every: 5}"
CONFIG = (
    "cameras: [{name: cam1, source: 'sim:?rate=280&seed=12'}]\n"
    "state_dir: state\n"
    f"model: {{shadow: {SHADOW}}}\n"
)
WARM_UP_S = 20.0
TRIED_S = 900.0
"""For load, audit and shadow, at the lowest priority."""
EVERY_S = 1.0
LIMIT = 1.2
KILL_WITHIN_S = 3.0


def second_model(folder: Path) -> Path:
    """The shipped model with weights of its first layer 2 % larger, and a card of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "second.safetensors"
    tensors = load_file(default_weights())
    first = next(name for name in tensors if name.endswith("weight"))
    save_file({**tensors, first: tensors[first] * 1.02}, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    card = json.loads(card_path(default_weights()).read_text())
    card |= {"name": "second", "sha256": sha256}
    card["plausibility"]["weights_sha256"] = sha256
    card_path(path).write_text(json.dumps(card))
    return path


class Swaps(Disturbance):
    """Stages a model, then promotes it and takes it back ``times`` times."""

    def __init__(self, folder: Path, times: int) -> None:
        self._folder = folder
        self._times = times
        self._thread = threading.Thread(target=self._swap)
        self._stop = threading.Event()
        self.done = 0
        self.staged: dict[str, Any] = {}
        self.errors: list[str] = []

    def begin(self, agent: RunningAgent) -> None:
        state = self._folder / "state"
        path = second_model(self._folder / "given")
        ask(state, "model.stage", {"path": str(path)}, 120.0)

        def tried() -> bool:
            self.staged = ask(state, "model.status")["staged"]  # type: ignore[assignment]
            return self.staged["phase"] in ("ready", "refused")

        agent.wait(tried, TRIED_S, "the trial is over")
        self._thread.start()

    def _swap(self) -> None:
        try:
            self._stop.wait(WARM_UP_S)
            while self.done < 2 * self._times and not self._stop.is_set():
                order = "model.rollback" if self.done % 2 else "model.promote"
                ask(self._folder / "state", order, {}, 120.0)
                self.done += 1
                self._stop.wait(EVERY_S)
        except Exception as error:  # noqa: BLE001 - told as a missed bar
            self.errors.append(str(error))

    def end(self) -> None:
        self._stop.set()
        self._thread.join(150.0)


def promote(folder: Path, rounds: int, share: float) -> tuple[list[str], list[str]]:
    """Run, and return the table's lines and the bars that were missed."""
    times = max(1, round(50 * share))
    seconds = 2 * times * (EVERY_S + 0.5)
    plain: list[Run] = []
    swapped: list[tuple[Run, Swaps]] = []
    for turn in range(rounds):
        for name in ("plain", "swapped"):
            where = folder / f"{name}-{turn}"
            (where / "state").mkdir(parents=True)
            plan = Plan(CONFIG, seconds, WARM_UP_S)
            if name == "plain":
                plain.append(measure(where, plan))
            else:
                swaps = Swaps(where, times)
                swapped.append((measure(where, plan, swaps), swaps))
    before = statistics.median(run.quantile(0.95) for run in plain)
    during = statistics.median(run.quantile(0.95) for run, _ in swapped)
    books = [run.books for run, _ in swapped]
    dropped = sum(one["dropped"] for one in books)
    unbalanced = [
        one
        for one in books
        if one["captured"] != one["segmented"] + one["dropped"] + one["in_flight"]
    ]
    done = sum(swaps.done for _, swaps in swapped)
    lines = [
        f"Promotions and rollbacks under load, {rounds} interleaved runs: {done} changes of model",
        "",
        f"- captured {sum(one['captured'] for one in books)}, segmented "
        f"{sum(one['segmented'] for one in books)}, dropped {dropped}, in flight "
        f"{sum(one['in_flight'] for one in books)}",
        f"- capture to mask p95: {before:.1f} ms without, {during:.1f} ms with changes: "
        f"{during / before:.2f} times (limit {LIMIT})",
        f"- workers replaced {sum(run.worker_restarts for run, _ in swapped)} times, "
        f"{sum(run.explanations for run, _ in swapped)} explanations meanwhile",
        *(_of_trial(swaps.staged) for _, swaps in swapped[:1]),
        "",
    ]
    missed = [error for _, swaps in swapped for error in swaps.errors]
    if unbalanced:
        missed.append(f"books that do not balance: {unbalanced}")
    if dropped > sum(run.books["dropped"] for run in plain):
        missed.append(f"{dropped} frames dropped")
    if during > LIMIT * before:
        missed.append(f"p95 {during / before:.2f} times")
    if done < 2 * times * rounds:
        missed.append(f"{done} changes of {2 * times * rounds}")
    if any(run.exit_code for run, _ in swapped):
        missed.append("an agent did not end in order")
    more, wrong = _kills(folder / "kills", max(1, round(20 * share)))
    return [*lines, *more], [*missed, *wrong]


def _kills(folder: Path, count: int) -> tuple[list[str], list[str]]:
    """``kill -9`` at random moments of a change: the next start runs one of the two models, and
    knows which."""
    folder.mkdir(parents=True)
    state, config, draw = folder / "state", folder / "soak.yaml", random.Random(0)
    state.mkdir()
    config.write_text(f"{CONFIG}mqtt: {{broker: none}}\n")
    found: Counter[str] = Counter()
    missed: list[str] = []
    given = hashlib.sha256(second_model(folder / "given").read_bytes()).hexdigest()
    for number in range(count + 1):
        with running_agent(folder, "--config", str(config)) as agent:
            agent.wait_ready(READY_S)
            if number == 0:
                Swaps(folder, 0).begin(agent)
            said = ask(state, "model.status")
            live = agent.status()["model_sha256"]
            promoted = said["decided_by"] == "promotion"
            if said["live"]["sha256"] != live or promoted != (live == given):  # type: ignore[index]
                missed.append(f"after kill {number}: {live[:12]} is live, but {said}")
            found["second" if live == given else "first"] += number > 0
            if number == count:
                agent.stop()
                break
            order = "model.rollback" if promoted else "model.promote"
            threading.Thread(target=_asked, args=(state, order), daemon=True).start()
            threading.Event().wait(draw.uniform(0.0, KILL_WITHIN_S))
            agent.process.kill()
            agent.process.wait()
    lines = [
        f"`kill -9` within {KILL_WITHIN_S:g} s of a change asked for, {count} times: the next start "
        f"ran the model before it or the one after it, {dict(found)}, and said which: "
        f"{count - len(missed)} of {count}.",
        "",
    ]
    return lines, missed


def _asked(state: Path, order: str) -> None:
    with contextlib.suppress(ControlError):  # it was killed, as it was to be
        ask(state, order, {}, 60.0)


def _of_trial(staged: dict[str, Any]) -> str:
    shadow = staged["shadow"]
    return (
        f"- the trial: {sum(line['passed'] for line in staged['audit'])} of "
        f"{len(staged['audit'])} findings of the audit passed, {shadow['pictures']} pictures in the "
        f"shadow, Dice {shadow['dice']}, no read {shadow['no_read_rate']}, cost {staged['cost_ms']}"
    )
