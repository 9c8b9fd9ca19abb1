"""One helper for the loops' threads."""

from __future__ import annotations

import threading


def end(thread: threading.Thread, timeout_s: float) -> None:
    """Join a thread that may never have been started."""
    if thread.ident is not None:
        thread.join(timeout_s)
