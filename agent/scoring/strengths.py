"""How strong is a middling fault: the strength that doubles the median angle error, or halves the
share of fruit that are read, whichever comes first.

``python -m agent.scoring.strengths`` prints the number of every graded fault for the protocol. It
reads fruit of seeds that nothing is scored on, bisects the strength on a logarithmic scale, and
judges nothing but angles: no signal, chart or alarm has a say.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from agent import config
from agent.models.loading import load_model
from agent.scoring.planting import Line
from agent.scoring.protocol import FULL, Protocol, Trial, load_protocol
from agent.segmentation.line import angle_error_deg
from agent.simulator.machine import Content

WEAKEST = 1 / 1024
HALVINGS = 7
"""Of the logarithm of the range: the strength is then known to a twentieth."""
FRUIT = 150
VARIETY = "golden"


@dataclass(frozen=True, slots=True)
class Reads:
    """``error_deg``: median over the fruit that were read, NaN for none; ``share`` of all fruit."""

    error_deg: float
    share: float

    def in_trouble(self, usual: Reads) -> bool:
        """Whether the error has doubled or the share of readings has halved."""
        return self.share <= 0.5 * usual.share or self.error_deg >= 2.0 * usual.error_deg


def middle_strength(reads: Callable[[float], Reads], usual: Reads) -> float:
    """The weakest strength in trouble, between ``WEAKEST`` and 1; 1 where even that is not.

    Trouble is taken to rise with the strength.
    """
    if not reads(FULL).in_trouble(usual):
        return FULL
    low, high = np.log(WEAKEST), np.log(FULL)
    for _ in range(HALVINGS):
        half = 0.5 * (low + high)
        if reads(float(np.exp(half))).in_trouble(usual):
            high = half
        else:
            low = half
    return float(np.exp(high))


def read_fruit(line: Line, seed: int, trial: Trial | None, count: int) -> Reads:
    """Median error and share of readings over so many simulated fruit."""
    passing = (
        one
        for one in line.passing(VARIETY, seed, trial)
        if one.frame.truth.get("content") == Content.FRUIT
    )
    errors = []
    for one in islice(passing, count):
        reading = one.reading.segmentation.reading
        if reading.read:
            errors.append(angle_error_deg(reading.angle_deg, one.frame.truth["angle_deg"]))
    median = float(np.median(errors)) if errors else float("nan")
    return Reads(median, len(errors) / count)


def find_all(
    line: Line, protocol: Protocol, count: int, told: Callable[[str], None]
) -> dict[str, float]:
    """The middle strength of every graded fault of the protocol."""
    seed = protocol.seeds.strengths
    usual = read_fruit(line, seed, None, count)
    told(f"usual: median error {usual.error_deg:.2f} degrees, {usual.share:.0%} read")
    found = {}
    for name, fault in protocol.faults.items():
        if fault.middle is None:
            continue
        trial = Trial(name, fault, FULL, "")

        def reads(strength: float, trial: Trial = trial) -> Reads:
            return read_fruit(line, seed, replace(trial, strength=strength), count)

        found[name] = middle_strength(reads, usual)
        at = reads(found[name])
        told(f"{name}: {found[name]:.3f} ({at.error_deg:.2f} degrees, {at.share:.0%} read)")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The script; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m agent.scoring.strengths", description=__doc__)
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--fruit", type=int, default=FRUIT)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    settings = config.Config(model=config.Model(path=given.model))
    protocol = load_protocol()
    model = load_model(settings.model, "cpu")
    sys.stdout.write(f"model {model.sha256[:12]}\n")
    line = Line(settings, model, protocol.rate_per_min)
    find_all(line, protocol, given.fruit, lambda text: print(text, flush=True))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
