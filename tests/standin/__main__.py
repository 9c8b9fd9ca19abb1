"""``python -m tests.standin [WEIGHTS]``: a model, the shipped one unless told, on the lots that are
held out. Prints every number of the evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path

from agent import config
from agent.models.loading import load_model
from agent.training.evaluate import evaluate
from tests.standin.world import HELD_OUT_LOTS, StandIn

FRUIT_A_LOT = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.standin", description=__doc__)
    parser.add_argument("weights", nargs="?", type=Path, help="a model's file")
    model = load_model(config.Model(path=parser.parse_args().weights), "cpu")
    judged = evaluate(model, StandIn().cases(HELD_OUT_LOTS, FRUIT_A_LOT))
    print(f"{model.label}, {len(HELD_OUT_LOTS)} lots of {FRUIT_A_LOT} fruit")
    for name, value in judged.summary().items():
        print(f"{name:30} {value:.4f}")


if __name__ == "__main__":
    main()
