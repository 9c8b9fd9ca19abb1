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
    shown: set[str] = set()
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        while True:
            try:
                status = (await client.get("/api/v1/status")).json()
                print(next(_got), flush=True)
                wanted = pictures(status)
                for path in wanted - shown:
                    await client.get(path)
                shown = wanted
            except httpx.HTTPError:
                pass  # the agent ends first
            await asyncio.sleep(PERIOD_S)


def pictures(status: dict[str, Any]) -> set[str]:
    """Addresses of what a page shows of this status: the frame of each reading and, of an only lane,
    its heat maps and the frame that they explain."""
    found: set[str] = set()
    for camera in status["cameras"]:
        if camera["reading"]:
            frame_id = camera["reading"]["frame_id"]
            found.add(f"/api/v1/frame/{camera['name']}.jpg?frame={frame_id}")
    if len(status["cameras"]) > 1:
        return found
    for explained in status["explanations"]["newest"]:
        lane = explained["camera"]
        for part in explained["maps"]:
            frame_id, path = part["frame_id"], f"/api/v1/cam/{lane}/{part['class_name']}"
            for one in (f"{path}/map", f"/api/v1/frame/{lane}.jpg"):
                found.add(f"{one}?frame={frame_id}")
    return found


async def pages(url: str, count: int) -> None:
    spread = random.Random(0)
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(page(url, spread.random() * PERIOD_S))


if __name__ == "__main__":
    give_way()
    asyncio.run(pages(sys.argv[1], int(sys.argv[2])))
