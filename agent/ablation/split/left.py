"""Faster ways of running a model that were left: which, and why, said once each.

None of them is needed for an explanation. Whatever one of them raises, the next is taken; what may
be a mistake in this program is logged with its traceback.
"""

from __future__ import annotations

import logging

from agent.ablation.core.errors import (
    AblationError,
    LateError,
    NullControlError,
    ScoreError,
    is_no_memory,
)
from agent.ablation.split.trace import CutError
from agent.models.errors import first_line

logger = logging.getLogger(__name__)


USUAL = ("ablation_rows_unused", "input_rows_unused")
"""What is no more than a note: most networks have some part that has no form in rows."""


class LeftWays:
    """The ways that one engine has left, by name."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def leave(
        self, way: str, why: str | Exception, *, event: str = "ablation_way_left", **more: object
    ) -> None:
        """``way`` is not taken any more, because of ``why``: one line in the log, the first time.

        An error that is no refusal of ours comes with its traceback.
        """
        if way in self._reasons:
            return
        self._reasons[way] = reason = in_words(why)
        unexpected = isinstance(why, Exception) and not isinstance(why, CutError | AblationError)
        logger.log(
            logging.INFO if event in USUAL and not unexpected else logging.WARNING,
            event,
            exc_info=why if unexpected else None,  # type: ignore[arg-type]
            extra={"fields": {"way": way, "reason": reason, **more}},
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """``way: reason`` each, in the order in which they were left."""
        return tuple(f"{way}: {reason}" for way, reason in self._reasons.items())


def is_final(error: Exception) -> bool:
    """Whether no other way would do better: the time is up, the caller's own score is at fault, or
    there is no memory, after which the process should not go on."""
    return isinstance(error, LateError | ScoreError) or is_no_memory(error)


def study_failed(name: str, error: Exception) -> None:
    """Say that a study failed, which costs the explanation nothing. A refusal of what was asked for
    is raised again, and so is what is final."""
    refused = isinstance(error, AblationError) and not isinstance(error, NullControlError)
    if refused or is_final(error):
        raise error
    fields = {"study": name, "reason": in_words(error)}
    logger.warning("ablation_study_failed", exc_info=error, extra={"fields": fields})


def in_words(why: str | Exception) -> str:
    """One line: what a refusal says, or the kind of an error and its first line."""
    if isinstance(why, str):
        return why
    line = first_line(why)
    return line if isinstance(why, CutError | AblationError) else f"{type(why).__name__}: {line}"
