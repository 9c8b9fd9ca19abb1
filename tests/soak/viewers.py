"""``python -m tests.soak.viewers URL COUNT``: asks an agent for what so many open pages ask for.

A process of its own without a browser: on a plant the browsers run on other machines.
"""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import httpx

PERIOD_S = 1.0


async def page(url: str, delay_s: float) -> None:
    """Ask as page.js does: the status once a second, and each picture that has changed."""
    await asyncio.sleep(delay_s)
    shown: dict[str, object] = {}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
        while True:
            try:
                status = (await client.get("/api/v1/status")).json()
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
    asyncio.run(pages(sys.argv[1], int(sys.argv[2])))
