"""``python -m tests.soak.viewers URL COUNT``: asks an agent for what so many open pages ask for.

A process of its own without a browser: on a plant the browsers run on other machines. Here it takes
the time that nothing else wants, so that what is measured is the agent's work for them and not
theirs; the number of statuses that it got goes to standard output, since whoever is kept waiting
asks less.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
from pathlib import Path
from typing import Any

import httpx

PERIOD_S = 1.0
LOWEST = 19
_got = itertools.count(1)


def give_way() -> None:
    """Lowest priority, within a scheduling group of its own where the kernel makes one a session."""
    os.nice(LOWEST)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text(str(LOWEST))


async def page(url: str, delay_s: float) -> None:
    """Ask as page.js does: the status once a second, and each picture that has changed."""
    await asyncio.sleep(delay_s)
    shown: dict[str, object] = {}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        while True:
            try:
                status = (await client.get("/api/v1/status")).json()
                print(next(_got), flush=True)
                for path, version in pictures(status).items():
                    if shown.get(path) != version:
                        shown[path] = version
                        await client.get(path, params={"v": str(version)})
            except httpx.HTTPError:
                pass  # the agent ends first
            await asyncio.sleep(PERIOD_S)


def pictures(status: dict[str, Any]) -> dict[str, object]:
    """What a page shows of this status, by path, with its version."""
    found: dict[str, object] = {
        f"/api/v1/frame/{camera['name']}.jpg": camera["frames_segmented"]
        for camera in status["cameras"]
        if camera["frames_segmented"]
    }
    for explained in status["explanations"]["newest"]:
        for part in explained["classes"]:
            if part["explainable"]:
                path = f"/api/v1/cam/{explained['camera']}/{part['class_name']}"
                found[path] = found[f"{path}/mean"] = explained["frame_id"]
    return found


async def pages(url: str, count: int) -> None:
    spread = random.Random(0)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(page(url, spread.random() * PERIOD_S))


if __name__ == "__main__":
    give_way()
    asyncio.run(pages(sys.argv[1], int(sys.argv[2])))
