"""Picture files: which files of a folder are pictures, and what is in one of them.

``decode`` is the one decoder of the agent: what ``run`` reads of a folder is what ``explain``,
``study`` and ``train`` read, with the same limits and the same refusals.
"""

from agent.picture_files.listing import (
    SUFFIXES,
    is_picture,
    is_picture_name,
    picture_files,
    picture_names,
    printable,
)

__all__ = [
    "SUFFIXES",
    "is_picture",
    "is_picture_name",
    "picture_files",
    "picture_names",
    "printable",
]
