"""A reference as calibrate would make it, of signals that a test names."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

from agent.alarms.charts.reference import Reference, SideLimits, SignalReference
from agent.alarms.signals.signals import BY_NAME, natural, transformed

MODEL_SHA256 = "0" * 64
LAYER = "encoder4.enc4relu2"


def signal(name: str, usual: float, spread: float, count: int = 30) -> SignalReference:
    """One whose window means are normal around ``usual`` with ``spread``, on the chart's scale."""
    one = BY_NAME[name]
    middle = transformed(one, usual)
    grid = (-2.0, -1.0, 0.0, 1.0, 2.0)
    far = NormalDist().inv_cdf(0.99)
    return SignalReference(
        name=name,
        count=count,
        windows=200,
        values=tuple(middle + z * spread for z in grid),
        scores=grid,
        low_slope=spread,
        high_slope=spread,
        icc=0.0,
        icc_upper=0.0,
        rho=0.0,
        usual=(natural(one, middle - far * spread), natural(one, middle + far * spread)),
        sides=tuple(
            SideLimits(sign=1 if sign > 0 else -1, ewma=1.15, cusum=13.0, shewhart=5.0)
            for sign in one.bad.signs
        ),
    )


def reference(
    signals: Sequence[SignalReference],
    *,
    variety: str = "golden",
    profile: Sequence[float] = (3.0, 2.0, 1.0, 0.0),
    **changes: object,
) -> Reference:
    return Reference(
        **{
            "variety": variety,
            "model_name": "unet",
            "model_sha256": MODEL_SHA256,
            "layer": LAYER,
            "score": "margin",
            "width_px": 192,
            "height_px": 192,
            "made_utc": "2024-05-01T06:00:00+00:00",
            "source": "cam1",
            "lots": 12,
            "lot_points": 15,
            "fruit": 10_000,
            "explanations": 1000,
            "window_s": 60.0,
            "budget_days": 30.0,
            "budget_margin": 3.0,
            "budget_lanes": 1,
            "hours_a_day": 8.0,
            "run_length": 5e6,
            "claim": "one in 30 days",
            "profile": tuple(profile),
            "overlay_range": {"suture": 2.0},
            "signals": tuple(signals),
            "left_out": {},
            "audit": (),
        }
        | changes
    )
