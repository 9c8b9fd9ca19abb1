"""What cannot be exported or imported."""

from __future__ import annotations

from agent.picture_files import printable


class LabellingError(ValueError):
    """Several things may be wrong; each line of the text names its picture or file."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(printable(problem) for problem in problems))
        self.problems = problems
