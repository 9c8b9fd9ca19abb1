"""Settings that every test shares: one torch thread, so that tests do not fight over cores."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("loaded", deadline=None)  # a busy machine is no defect of the code
settings.load_profile("loaded")
