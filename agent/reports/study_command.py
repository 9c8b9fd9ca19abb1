"""``pitwatch study``: the experiments of the paper on a set of pictures, as tables and one report.

Importing this module loads no network library.
"""

from __future__ import annotations

from agent.reports.exit_codes import OptionError, exit_code
from agent.reports.options import StudyOptions

__all__ = ["StudyOptions", "run_study"]

EXTRA = ("matplotlib", "jinja2")
"""Of the extra ``study``: the agent runs without."""


def run_study(options: StudyOptions) -> int:
    """Study every picture and write the report; returns the exit code.

    0: done, and every picture was explained for at least one class. 1: a picture could not be read
    or explained (the report is about the others and names it), or none could. 78: the model, layer
    or class that was named is not there, or the libraries that draw the report are not.
    """

    def work() -> bool:
        try:
            from agent.reports.survey import survey_and_report
        except ModuleNotFoundError as error:
            if error.name not in EXTRA:
                raise
            raise OptionError(
                f"{error.name} is not installed, and the report is drawn with it: "
                f"pip install {' '.join(EXTRA)}"
            ) from error

        return survey_and_report(options)

    return exit_code("pitwatch study", work)
