"""One helper for the loops' threads."""

from __future__ import annotations

import threading


def end(thread: threading.Thread, timeout_s: float) -> bool:
    """Join a thread that may never have been started; true when it has ended."""
    if thread.ident is None:
        return True
    thread.join(timeout_s)
    return not thread.is_alive()
