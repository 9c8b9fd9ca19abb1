"""A model swap with networks that are names and a trial that answers at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from agent import config
from agent.config import Config
from agent.pipeline.model_swap.manager import ModelSwap, SwapHooks
from agent.pipeline.model_swap.messages import (
    Audited,
    Finding,
    Loaded,
    Seen,
    Taken,
    TrialArgs,
)
from agent.pipeline.model_swap.prepared import Prepared, configured
from agent.pipeline.model_swap.shadow import ShadowSettings
from agent.pipeline.model_swap.state import Chosen, Phase
from agent.pipeline.model_swap.tally import Answer, Compared
from agent.records import Frame, SegmentedFrame
from agent.segmentation.segmenter import Segmenter
from agent.supervision.child import ChildGone
from agent.supervision.control.protocol import Peer
from agent.telemetry import NullTelemetry
from tests.segmentation.drawn import bar, colour_model, painted

FIRST = "a" * 64
ME = Peer(uid=1000, pid=1)
FRUIT = painted(bar(64, 64, 30.0, 5.0), np.zeros((64, 64), bool), size=(64, 64))


class Killed(BaseException):
    """The process ends here, with nothing in it running any further."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def weights(folder: Path, name: str = "second") -> Path:
    """A file that could be a model's; its content is its name."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({"w": np.frombuffer(name.encode(), np.uint8)}, path)
    return path


def prepared(chosen: Chosen, settings: Config, sha256: str, clock: Clock) -> Prepared:
    model = dataclasses.replace(colour_model(), sha256=sha256, name=sha256[:4])
    known = chosen.model_copy(update={"sha256": sha256, "name": model.name})
    return Prepared(known, settings, model, {}, Segmenter(model, config.Segmentation(), {}, clock))


class FakeTrial:
    """Answers every message at the next ``receive``; ``fate`` decides what becomes of it."""

    def __init__(self, args: TrialArgs, fate: Fate) -> None:
        self.args = args
        self._fate = fate
        self._left = fate.fruit
        self._said: list[object] = [fate.loaded(args)]
        self.ended = False

    def audit(self, frame: Frame) -> None:
        self._left -= 1
        self._said.append(Taken(self._left) if self._left else self._fate.audited)

    def look(self, frame: Frame, seen: SegmentedFrame, explain: bool) -> None:
        self._fate.explained += explain
        self._said.append(self._fate.seen(seen))

    def receive(self) -> list[object]:
        if self._fate.dies:
            raise ChildGone("killed by SIGKILL")
        said, self._said = self._said, []
        return [] if self._fate.silent else said

    def rss_bytes(self) -> int:
        return self._fate.rss_bytes

    def end(self) -> str:
        self.ended = True
        return "killed by SIGKILL"


@dataclasses.dataclass
class Fate:
    """What a staged model turns out to be."""

    loaded: Callable[[TrialArgs], object]
    audited: object
    fruit: int = 2
    dies: bool = False
    silent: bool = False
    rss_bytes: int = 1
    explained: int = 0
    fails: bool = False
    started: list[FakeTrial] = dataclasses.field(default_factory=list)

    def seen(self, seen: SegmentedFrame) -> Seen:
        if self.fails:
            return Seen(None, 0.1, "RuntimeError: no")
        live = Answer(seen.reading.read, seen.reading.angle_deg)
        own = Answer(True, seen.reading.angle_deg + 1.2)
        return Seen(Compared(live, own, {"suture": 0.9}, 0.02, 0.8, 0.1), 0.1)


def loaded_as(sha256: str, **changes: object) -> Callable[[TrialArgs], Loaded]:
    model = colour_model()
    size = model.preprocessing
    found = Loaded(
        sha256[:4], sha256, model.classes, "", size.width_px, size.height_px
    )  # fmt: skip
    return lambda _args: dataclasses.replace(found, **changes)


def finding(*, passed: bool) -> Finding:
    words = "share of the background in what decides the suture"
    value = 0.1 if passed else 0.9
    return Finding("context_reliance", value, 0.5, passed, f"{words}: {value}, at most 0.5")


class Plant:
    """One agent's model swap over any number of starts in one state folder."""

    def __init__(self, folder: Path, **shadow: object) -> None:
        self.folder = folder
        (folder / "state").mkdir(exist_ok=True)
        values = {"every": 1, "share": 1.0, "time_s": 5.0, "pictures_min": 3, **shadow}
        self.config = Config(
            state_dir=folder / "state",
            mqtt={"broker": "none"},
            model={"shadow": values},
        )
        self.clock = Clock()
        self.fate = Fate(loaded_as("b" * 64), Audited((finding(passed=True),), 8.0, 10.0))
        self.live: list[str] = []  # digests that went live, in order
        self.prepare_fails: Exception | None = None
        self.kill_at = ""
        self.reached: list[str] = []
        self._numbers = itertools.count()
        self.start()

    def start(self) -> None:
        """A start of the agent, as after a kill."""
        from agent.pipeline.model_swap.prepared import key_of
        from agent.pipeline.model_swap.state import StateFile

        state = StateFile(self.config.state_dir).read()
        chosen, sha256 = configured(self.config), FIRST
        if state.running is not None and state.key == key_of(self.config):
            chosen, sha256 = state.running, state.running.sha256
        first = prepared(chosen, self.config, sha256, self.clock)
        shadow = self.config.model.shadow
        settings = ShadowSettings(
            every=shadow.every,
            share=shadow.share,
            time_s=shadow.time_s,
            pictures_min=shadow.pictures_min,
            explain_every=shadow.explain_every,
            memory_bytes=1 << 30,
            check=lambda loaded, _: "" if loaded.classes else "it has other classes",
            launch=self._launch,
            args=self._args,
        )
        hooks = SwapHooks(
            prepare=self._prepare,
            go_live=self._go_live,
            renewed=lambda: True,
            trial=settings,
            reached=self._reach,
            utc_ms=lambda: 1_700_000_000_000,
        )
        self.swap = ModelSwap(self.config, first, hooks, NullTelemetry(), self.clock)
        self.runs = sha256

    def _reach(self, step: str) -> None:
        self.reached.append(step)
        if step == self.kill_at:
            self.kill_at = ""
            raise Killed(step)

    def _launch(self, args: TrialArgs) -> FakeTrial:
        self.fate.started.append(FakeTrial(args, self.fate))
        return self.fate.started[-1]

    def _args(self, staged: object) -> TrialArgs:
        own = self.config.model
        return TrialArgs(own, own, self.config.segmentation, self.config.ablation, {}, {}, "cpu", 2)

    def _prepare(self, chosen: Chosen) -> Prepared:
        if self.prepare_fails is not None:
            raise self.prepare_fails
        return prepared(chosen, self.config, chosen.sha256 or FIRST, self.clock)

    def _go_live(self, model: Prepared) -> None:
        self.live.append(model.model.sha256)
        self.runs = model.model.sha256

    # --- what people do --------------------------------------------------------------------------

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        return dict(self.swap.handlers[f"model.{command}"](arguments, ME))

    def stage(self, path: Path, **more: object) -> dict[str, object]:
        """With the trial's thread turning once meanwhile, as it would."""
        import threading

        turning = threading.Event()

        def turn() -> None:
            while not turning.wait(0.01):
                self.swap.trials.step(self.clock())

        thread = threading.Thread(target=turn)
        thread.start()
        try:
            return self.ask("stage", path=str(path), **more)
        finally:
            turning.set()
            thread.join(30.0)

    def stage_and_try(self, path: Path) -> None:
        """In one thread, whatever becomes of it."""
        self.ask("stage", path=str(path))
        self.pictures(60)

    def pictures(self, many: int, variety: str | None = None) -> None:
        """So many fruit pass, a second apart."""
        for _ in range(many):
            number = next(self._numbers)
            from agent.records import MachineInfo

            frame = Frame(
                "cam1", f"f{number}", number, 0, self.clock.now, FRUIT, None,
                MachineInfo(variety=variety),
            )  # fmt: skip
            (seen,) = self.swap.live.segmenter.segment([frame])
            self.swap.trials.offer(frame, seen)
            self.swap.trials.step(self.clock())
            self.clock.now += 1.0
            self.swap.trials.step(self.clock())

    @property
    def phase(self) -> str:
        staged = self.ask("status")["staged"]
        return "" if staged is None else str(staged["phase"])  # type: ignore[index]

    def ready(self, path: Path) -> None:
        """A model is staged, and its trial is over."""
        self.stage(path)
        self.pictures(40)
        assert self.phase == Phase.READY
