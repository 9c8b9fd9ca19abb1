"""Settings that every test shares: one torch thread, so that tests do not fight over cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
