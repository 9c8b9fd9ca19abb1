"""A child that asks and counts on, whether its parent reads or not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from agent.observability.http.rpc import AgentClient, AgentUnavailable
from agent.supervision.channel import Channel

TIMES = 3000


def main(channel: Channel, path: str, _fds: Mapping[str, int]) -> None:
    """Writes how many questions were refused, and how many kinds of counts are left."""
    asyncio.run(_ask_on(channel, Path(path)))
    channel.stopping.wait(60)


async def _ask_on(channel: Channel, path: Path) -> None:
    agent = AgentClient(channel, asyncio.get_running_loop())
    silent = 0
    for _ in range(TIMES):
        agent.count("http_requests", route="/", status="200")
        agent.flush()
        try:
            async with asyncio.timeout(0.001):
                await agent.call("health")
        except AgentUnavailable:
            silent += 1
        except TimeoutError:
            pass
    part = path.with_suffix(".part")
    part.write_text(f"{silent} {len(agent._counted)}")
    part.rename(path)
