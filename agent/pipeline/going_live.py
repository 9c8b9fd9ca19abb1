"""Another model in force: what every stage is told, between two fruit."""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.alarms.charts.reference import differences, load_reference
from agent.alarms.live_model import LiveModel
from agent.commissioning.audit import FRUIT
from agent.observability.prometheus import PrometheusTelemetry
from agent.pipeline import factories
from agent.pipeline.build import Stages
from agent.pipeline.gauges import tell_model
from agent.pipeline.model_swap.manager import ModelSwap, SwapHooks
from agent.pipeline.model_swap.messages import Loaded, TrialArgs
from agent.pipeline.model_swap.prepared import Prepared, prepare, with_shadow
from agent.pipeline.model_swap.shadow import ShadowSettings
from agent.pipeline.model_swap.state import Staged
from agent.pipeline.model_swap.trial_process import TrialProcess
from agent.pipeline.watched import watch_alarms
from agent.supervision.errands import ErrandError
from agent.telemetry import Clock, log_event

logger = logging.getLogger(__name__)

ERRAND_S = 10.0
PATIENCE_MAX_S = 600.0


def live_model(prepared: Prepared) -> LiveModel:
    """As the alarms know it. The workers are replaced one after the other, each in what a start
    may take at most."""
    workers = prepared.config.ablation.workers
    many = max(1, workers.count or 1)
    patience_s = min(PATIENCE_MAX_S, many * workers.start_timeout_s)
    model = prepared.model
    return LiveModel(model.name, model.sha256, prepared.references, patience_s)


def go_live(stages: Stages, telemetry: PrometheusTelemetry, prepared: Prepared) -> None:
    """Put ``prepared`` in force. Nothing here waits for a picture, a worker or the broker, but for
    a reload that is under way."""
    with stages.changing:
        _go_live(stages, telemetry, prepared)


def _go_live(stages: Stages, telemetry: PrometheusTelemetry, prepared: Prepared) -> None:
    model, before = prepared.model, stages.identity
    stages.prepared = prepared
    stages.config = stages.config.model_copy(update={"model": prepared.config.model})
    stages.segmenter.switch(prepared.segmenter)
    stages.pool.renew(factories.worker_spec(stages.config, stages.references))
    identity = replace(before, model_name=model.name, model_sha256=model.sha256)
    stages.identity = identity
    stages.first_view = replace(
        stages.first_view,
        model_name=model.name,
        model_sha256=model.sha256,
        layer=model.layer or "",
    )
    stages.recording.know_model(model.name, model.sha256)
    stages.running.set_references(prepared.references)
    stages.commands.set_varieties(prepared.references)
    _tell_alarms(stages, live_model(prepared))
    tell_model(telemetry, before, live=False)
    tell_model(telemetry, identity, live=True)
    for sink in stages.sinks:
        sink.model(model.name, model.sha256)


def _tell_alarms(stages: Stages, model: LiveModel) -> None:
    """Its references, and with them which alarms there are."""
    loop = stages.alarm_loop

    def change() -> None:
        loop.watch.on_live_model(model)
        loop.watch.workers_begin_anew()
        watch_alarms(stages, stages.config)

    try:
        loop.errands.do(change, ERRAND_S)
    except ErrandError as error:  # it hears of it later, and of its alarms at the next start
        log_event(logger, logging.ERROR, "alarms_not_told", model=model.name, reason=str(error))
        loop.post(model)


def make_swap(stages: Stages, telemetry: PrometheusTelemetry, clock: Clock) -> ModelSwap:
    """The part that stages, promotes and takes back."""
    config, first = stages.asked, stages.prepared
    shadow = config.model.shadow

    def live() -> Prepared:
        return swap.live

    def check(loaded: Loaded, staged: Staged) -> str:
        return _another_kind(live(), loaded) or _wrong_references(stages, loaded, staged)

    def args(staged: Staged) -> TrialArgs:
        return TrialArgs(
            own=with_shadow(staged.chosen, config),
            live=live().config.model,
            segmentation=stages.config.segmentation,
            ablation=stages.config.ablation,
            lanes=factories.lanes_of(stages.config),
            plausible_from={},
            device=str(live().model.device),
            fruit=FRUIT,
        )

    def launch(args: TrialArgs) -> TrialProcess:
        return TrialProcess(args, stages.live_priority)

    settings = ShadowSettings(
        every=shadow.every,
        share=shadow.share,
        time_s=shadow.time_s,
        pictures_min=shadow.pictures_min,
        explain_every=shadow.explain_every,
        memory_bytes=config.ablation.workers.memory_limit_mb << 20,
        check=check,
        launch=launch,
        args=args,
    )
    hooks = SwapHooks(
        prepare=lambda chosen: prepare(stages.asked, chosen, clock),
        go_live=lambda prepared: go_live(stages, telemetry, prepared),
        renewed=lambda: stages.pool.renewed(),
        trial=settings,
    )
    swap = ModelSwap(config, first, hooks, telemetry, clock)
    return swap


def _another_kind(live: Prepared, loaded: Loaded) -> str:
    """Why what was loaded cannot take the live model's place; empty where it can."""
    model, size = live.model, live.model.preprocessing
    if loaded.sha256 == model.sha256:
        return "it is the model that is live already"
    if loaded.classes != model.classes:
        return (
            f"its classes are {', '.join(loaded.classes)}, those of the live model "
            f"{', '.join(model.classes)}"
        )
    if (loaded.width_px, loaded.height_px) != (size.width_px, size.height_px):
        return (
            f"its pictures have {loaded.width_px} x {loaded.height_px} px, those of the live model "
            f"{size.width_px} x {size.height_px}"
        )
    return ""


def _wrong_references(stages: Stages, loaded: Loaded, staged: Staged) -> str:
    bound = replace(
        factories.bound_of(stages.config, stages.model),
        model_sha256=loaded.sha256,
        layer=loaded.layer,
    )
    for path in staged.chosen.references.values():
        if wrong := differences(load_reference(path), bound):
            return f"{path.name}: was made for {'; for '.join(wrong)}"
    return ""
