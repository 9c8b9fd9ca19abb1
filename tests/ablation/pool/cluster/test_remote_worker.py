"""One worker as the driver sees it, with a Ray that answers, refuses or says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

import numpy as np
import pytest

from agent.ablation.pool.cluster import common, remote_worker
from agent.ablation.pool.cluster.common import ActorSlot, Cluster
from agent.ablation.pool.cluster.messages import (
    DriverArgs,
    Gone,
    Hosted,
    Placed,
    Said,
    StartWorker,
    WorkerEnded,
)
from agent.ablation.pool.cluster.remote_worker import RemoteWorker
from agent.ablation.pool.messages import (
    Beat,
    Failed,
    ImageHeader,
    Order,
    Ready,
    StartFailed,
    WorkerArgs,
    WorkerSpec,
)
from agent.records import Rung, SamplingClass
from tests.ablation.pool.cluster.fake_ray import (
    FakeActor,
    FakeRay,
    ObjectStoreFullError,
    RayError,
)

HOSTED = Hosted(pid=7, node="far", place="far/gpu0", capacity=1, store_bytes=1000)
ENDED = WorkerEnded("exit code 7")


def actor(**methods: Callable[..., object]) -> FakeActor:
    calls = {
        "start": lambda *_: HOSTED,
        "next": lambda *_: FakeActor.NEVER,
        "give": lambda *_: None,
        "end": lambda *_: True,
    }
    return FakeActor({**calls, **methods})


def cluster(ray: FakeRay, **args: object) -> tuple[Cluster, list[object]]:
    fields = {"address": "head:1", "agent_id": "a", "gpus": 0.0, "cpus": 1.0, **args}
    said: list[object] = []
    driver = DriverArgs(heartbeat_s=1.0, lease_s=10.0, priority="normal", **fields)  # type: ignore[arg-type]
    return Cluster(ray, driver, said.append, store_bytes=1000), said


def worker(cluster: Cluster, slot: ActorSlot, number: int = 1) -> RemoteWorker:
    args = WorkerArgs(WorkerSpec(), 1.0, 1)
    return RemoteWorker(cluster, StartWorker(number, 0, args), slot)


def order(job: str = "job") -> Order:
    image = ImageHeader(4, 4, 3, False, 48)
    return Order(
        job, "cam1", "f1", 0, 0.0, SamplingClass.ALARM, Rung.EXACT, float("inf"), 0.0, image
    )


async def until(said: list[object], kind: type) -> object:
    """The first message of that kind, of a worker or about one."""
    while True:
        for one in said:
            message = one.message if isinstance(one, Said) else one
            if isinstance(message, kind):
                return message
        await asyncio.sleep(0.001)


def run(course: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(course(), 30.0))


def test_what_the_worker_says_is_handed_on_until_it_ends() -> None:
    messages = iter([[Ready(1.0, 5), Beat(6, "job")], [ENDED]])
    ray = FakeRay([actor(next=lambda _s: next(messages))])
    made, said = cluster(ray)

    async def course() -> None:
        slot = ActorSlot()
        one = worker(made, slot)
        await until(said, Gone)
        assert [one for one in said if not isinstance(getattr(one, "message", None), Beat)] == [
            Placed(1, 7, "far"),
            Said(1, Ready(1.0, 5)),
            Gone(1, "exit code 7"),
        ]
        await one.end()
        assert ray.killed == []  # its worker is dead, so it serves the next one
        assert slot.actor is not None

    run(course)
    assert ray.options[0]["name"] == "worker-0"
    assert (ray.options[0]["num_cpus"], ray.options[0]["max_restarts"]) == (1.0, 0)


def test_an_actor_that_does_not_say_that_its_worker_is_dead_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_worker, "END_S", 0.01)
    for answer in (FakeActor.NEVER, False, RayError("gone")):
        ray = FakeRay([actor(end=lambda answer=answer: answer)])
        made, said = cluster(ray)

        async def course(made: Cluster = made, said: list[object] = said) -> None:
            slot = ActorSlot()
            one = worker(made, slot)
            await until(said, Placed)
            await one.end()
            assert slot.actor is None

        run(course)
        assert len(ray.killed) == 1


def test_an_actor_without_a_word_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_worker, "ANSWER_S", 0.01)
    ray = FakeRay([actor()])
    made, said = cluster(ray)

    async def course() -> None:
        one = worker(made, ActorSlot())
        gone = await until(said, Gone)
        assert isinstance(gone, Gone)
        assert "no word from its machine" in gone.how
        await one.end()

    run(course)
    assert len(ray.killed) == 1


def test_one_that_waits_for_a_place_is_ended_with_its_actor() -> None:
    ray = FakeRay([actor(start=lambda *_: FakeActor.NEVER)])
    made, said = cluster(ray)

    async def course() -> None:
        one = worker(made, ActorSlot())
        beat = await until(said, Beat)
        assert beat == Beat(0, "waiting for a place in the cluster")
        await one.end()

    run(course)
    assert len(ray.killed) == 1


def test_a_kept_actor_that_has_died_meanwhile_is_made_again() -> None:
    dead, fresh = actor(start=lambda *_: RayError("died")), actor()
    ray = FakeRay([fresh])
    made, said = cluster(ray)

    async def course() -> None:
        slot = ActorSlot(actor=dead)
        one = worker(made, slot)
        await until(said, Placed)
        assert slot.actor is fresh
        await one.end()

    run(course)
    assert ray.killed == [dead]


@pytest.mark.parametrize(
    ("ray", "args", "reason", "words", "permanent"),
    [
        (
            FakeRay([ValueError("The name worker-0 is already taken")]),
            {},
            "SameId",
            "worker-0 of agent a is in use in head:1: two agents with one id?",
            False,
        ),
        (
            FakeRay([actor()]),
            {"gpus": 1.0},
            "NoResource",
            "none of the cluster's 1 machines offers 1 GPU and 1 CPU for a worker",
            False,
        ),
        (
            FakeRay([actor(start=lambda *_: RayError("\x1b[36mdied\n No module named 'agent'"))]),
            {},
            "NoPackage",
            "has no pitwatch in its Ray's Python: No module named 'agent'",
            True,
        ),
        (FakeRay([actor(start=lambda *_: RayError("odd\nthing"))]), {}, "RayError", "odd t", False),
        (
            FakeRay([actor(start=lambda *_: StartFailed("ModelError", "no GPU", True))]),
            {},
            "ModelError",
            "no GPU",
            True,
        ),
    ],
)  # fmt: skip
def test_why_there_is_no_worker_is_said(
    monkeypatch: pytest.MonkeyPatch,
    ray: FakeRay,
    args: dict[str, object],
    reason: str,
    words: str,
    permanent: bool,
) -> None:
    monkeypatch.setattr(remote_worker, "NAME_TRIES_S", -1.0)
    made, said = cluster(ray, **args)

    async def course() -> None:
        one = worker(made, ActorSlot())
        failed = await until(said, StartFailed)
        assert isinstance(failed, StartFailed)
        assert (failed.reason, failed.permanent) == (reason, permanent)
        assert words in failed.detail
        await one.end()

    run(course)


@pytest.mark.parametrize(
    ("side", "give", "words"),
    [
        (20, lambda *_: None, "a picture of 1200 bytes does not fit the object store of 1000"),
        (4, lambda *_: ObjectStoreFullError("no room"), "no room"),
    ],
)
def test_a_picture_that_the_store_does_not_take_costs_its_job(
    side: int, give: Callable[..., object], words: str
) -> None:
    made, said = cluster(FakeRay([actor(give=give)]))

    async def course() -> None:
        one = worker(made, ActorSlot())
        await until(said, Placed)
        one.give(order(), np.zeros((side, side, 3), np.uint8), None)
        failed = await until(said, Failed)
        assert isinstance(failed, Failed)
        assert (failed.job_id, failed.reason, failed.fatal) == ("job", "picture", False)
        assert words in failed.detail
        await one.end()

    run(course)


@pytest.mark.parametrize(("turn", "given"), [(True, True), (False, False)])
def test_a_worker_with_a_share_waits_for_its_turn(turn: bool, given: bool) -> None:
    arbiter = FakeActor({"take": lambda *_: turn, "give_back": lambda *_: None})
    hosts = actor()
    made, said = cluster(FakeRay([hosts, arbiter]), cpus=0.5)

    async def course() -> None:
        one = worker(made, ActorSlot())
        await until(said, Placed)
        one.give(order(), np.zeros((4, 4, 3), np.uint8), None)
        if given:
            while "give" not in hosts.calls:
                await asyncio.sleep(0.001)
        else:
            failed = await until(said, Failed)
            assert isinstance(failed, Failed)
            assert (failed.reason, failed.fatal) == ("deadline", False)
        await one.end()
        assert ("give_back" in arbiter.calls) == given  # a turn that was had is given back

    run(course)


def test_without_a_word_of_the_arbiter_jobs_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "ANSWER_S", 0.0)
    hosts = actor()
    made, said = cluster(
        FakeRay([hosts, FakeActor({"take": lambda *_: RayError("it died")})]), cpus=0.5
    )

    async def course() -> None:
        one = worker(made, ActorSlot())
        await until(said, Placed)
        one.give(order(), np.zeros((4, 4, 3), np.uint8), None)
        while "give" not in hosts.calls:
            await asyncio.sleep(0.001)
        await one.end()

    run(course)
