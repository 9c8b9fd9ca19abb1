"""The agent's answer within the time that a client waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from agent.observability.http.responses import Refused
from agent.observability.http.rpc import WORK_LIMIT_S, AgentUnavailable

Answer = TypeVar("Answer")


async def in_time(answer: Awaitable[Answer]) -> Answer:
    """Return what is awaited; 503 when it takes too long, or the agent takes no more calls."""
    try:
        async with asyncio.timeout(WORK_LIMIT_S):
            return await answer
    except (TimeoutError, AgentUnavailable) as error:
        raise Refused(503, f"no answer within {WORK_LIMIT_S:g} s") from error
