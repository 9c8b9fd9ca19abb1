"""``python -m tests.screens``: take the pictures of the page, check them, keep them in ``deploy``.

Real agents with the shipped model and simulated lanes, a real Chromium. A picture is kept only when
the page complained about nothing and axe-core found nothing; ``made.json`` says of which model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from agent.models.loading import default_weights
from tests.screens.views import MACHINE, SCENES, Scene, View
from tests.support.axe import violations
from tests.support.chromium import Chromium, chromium
from tests.support.running import running_agent

DEPLOY = Path(__file__).parents[2] / "deploy"
FOLDER = DEPLOY / "screens"
PAGE, PAGE_VIEW = "page.jpg", "lane"
"""The picture in README.md, and the view that it is."""
MADE = "made.json"
QUALITY = 80
SETTLE_S = 2.0


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def take(browser: Chromium, url: str, view: View) -> bytes:
    """The view as JPEG; fails on whatever the page or axe-core complains about."""
    if not view.gone:  # what has gone must have been there
        browser.open("about:blank")
        browser.size(*view.size, dark=view.dark, touch=view.size[0] < 640)
        browser.open(url + view.at)
    browser.wait("document.querySelectorAll('.card').length", 30)
    browser.wait(view.needs, 120)
    threading.Event().wait(SETTLE_S)
    picture = browser.screenshot("jpeg", QUALITY)
    found = violations(browser)
    assert not found, (view.name, found)
    width = browser.run("document.documentElement.scrollWidth")
    assert width <= view.size[0], f"{view.name}: runs off the side"
    assert not browser.errors, (view.name, browser.errors)
    return picture


def look(scene: Scene, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Run the scene's agent, and yield each of its views."""
    folder.mkdir()
    file = folder / "agent.yaml"
    file.write_text(scene.configuration(str(folder / "state")))
    with (
        running_agent(folder, "--config", str(file)) as agent,
        chromium(folder) as browser,
    ):
        agent.wait_ready()
        assert agent.post("/machine", MACHINE) == 204
        threading.Event().wait(scene.wait_s)
        for view in scene.views:
            if view.gone:
                browser.size(*view.size)
                browser.open(f"http://127.0.0.1:{agent.port}{view.at}")
                browser.wait("document.querySelectorAll('.card[data-frame]').length")
                agent.close()
            yield view.name, take(browser, f"http://127.0.0.1:{agent.port}", view)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.screens", description=__doc__)
    parser.add_argument("scenes", nargs="*", help="all when none is named")
    parser.add_argument("--out", type=Path, help="keep them there, and leave deploy as it is")
    options = parser.parse_args()
    names = [scene.name for scene in SCENES]
    if unknown := sorted(set(options.scenes) - set(names)):
        parser.error(f"no scene {unknown[0]!r}; there are: {', '.join(names)}")
    out: Path = options.out or FOLDER
    out.mkdir(parents=True, exist_ok=True)
    made = json.loads((out / MADE).read_text()) if (out / MADE).exists() else {"pictures": {}}
    model = sha256(default_weights())
    if made.get("model_sha256") != model:
        made = {"model_sha256": model, "pictures": {}}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for scene in SCENES:
            if options.scenes and scene.name not in options.scenes:
                continue
            for name, picture in look(scene, Path(folder) / scene.name):
                file = out / f"{name}.jpg"
                file.write_bytes(picture)
                made["pictures"][name] = sha256(file)
                print(f"{name}: {len(picture) // 1024} KiB", flush=True)
                if name == PAGE_VIEW and options.out is None:
                    (DEPLOY / PAGE).write_bytes(picture)
    (out / MADE).write_text(json.dumps(made, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
