"""The scores by name: what the configuration, the command line and the engine call them.

Apart from all of these, because the help of a command names them and must import nothing heavy.
What a score is, stands in ``agent.ablation.core.scores``.
"""

from __future__ import annotations

import enum


class Score(enum.StrEnum):
    MARGIN = "margin"
    LOGIT_SUM = "logit_sum"
    DICE_DROP = "dice_drop"
