"""Drivers that misbehave, without a cluster behind them."""

from __future__ import annotations

from collections.abc import Mapping

from agent.ablation.pool.cluster.messages import (
    Connected,
    DriverArgs,
    DriverBeat,
    EndWorker,
    GiveJob,
    Gone,
    Placed,
    Said,
    StartWorker,
)
from agent.ablation.pool.messages import Beat, Failed, Ready
from agent.supervision.channel import Channel


def late(channel: Channel, args: DriverArgs, fds: Mapping[str, int]) -> None:
    """Answers a job only once its worker was to be ended."""
    channel.send(Connected("nowhere"))
    given: dict[int, str] = {}
    workers: set[int] = set()
    while not channel.stopping.is_set():
        channel.send(DriverBeat())
        for number in workers:
            channel.send(Said(number, Beat(1, "job" if number in given else "")))
        message = channel.receive(args.heartbeat_s)
        if isinstance(message, StartWorker):
            workers.add(message.number)
            channel.send(Placed(message.number, 4_000_000, "far"))
            channel.send(Said(message.number, Ready(0.1, 1)))
        elif isinstance(message, GiveJob):
            given[message.number] = message.order.job_id
        elif isinstance(message, EndWorker):
            workers.discard(message.number)
            if (job := given.pop(message.number, None)) is not None:
                channel.send(Said(message.number, Failed(job, "error", "too late", 1)))
                channel.send(Gone(message.number, "ended"))


def silent(channel: Channel, args: DriverArgs, fds: Mapping[str, int]) -> None:
    """Is part of a cluster, and says no more."""
    channel.send(Connected("nowhere"))
    channel.receive(600.0)
    channel.stopping.wait()


def mute(channel: Channel, args: DriverArgs, fds: Mapping[str, int]) -> None:
    """Does not become part of a cluster."""
    channel.stopping.wait()
