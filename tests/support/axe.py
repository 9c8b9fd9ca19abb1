"""axe-core in a page of a real Chromium: what it finds that hides the page from somebody."""

from __future__ import annotations

from tests.support.chromium import Chromium
from tests.support.decoders import FOLDER, require_decoders

AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
LEAST = 9
"""Rules that must have been applied; axe-core that finds nothing to check finds no fault."""


def violations(browser: Chromium) -> list[str]:
    """What axe-core finds wrong in the page as it stands, a line each; skips without it."""
    require_decoders()
    if not browser.run("Boolean(window.axe)"):
        browser.run(AXE.read_text(encoding="utf-8") + "; 0")
    browser.run("window.found = null; axe.run().then((found) => { window.found = found; }); 0")
    browser.wait("window.found !== null")
    assert browser.run("window.found.passes.length") >= LEAST
    return list(
        browser.run(
            "window.found.violations.flatMap((rule) => rule.nodes.map((node) =>"
            " `${rule.id}: ${node.target} ${node.failureSummary}`))"
        )
    )
