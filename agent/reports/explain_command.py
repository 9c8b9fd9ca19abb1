"""``pitwatch explain``: pictures to figures, numbers and arrays.

Importing this module loads no network library.
"""

from __future__ import annotations

import errno

from agent.reports.exit_codes import OptionError, exit_code
from agent.reports.options import FILLS, METHODS, ExplainOptions, PatchOptions

__all__ = ["METHODS", "ExplainOptions", "PatchOptions", "explain_picture"]


def explain_picture(options: ExplainOptions) -> int:
    """Explain the picture or folder and write what was asked for; returns the exit code.

    0: explained. 1: a picture or a control failed, or the class has no pixel (figure and numbers
    then say so). 78: the model, layer, class, method or region that was named is not there.
    """

    def work() -> bool:
        _check(options)
        from agent.reports.explain import explain_all

        return explain_all(options)

    return exit_code("pitwatch explain", work)


def _check(options: ExplainOptions) -> None:
    """Notice before the work what would lose its result: a folder missing, another format."""
    if options.method not in METHODS:
        raise OptionError(f"no method {options.method!r}; there are: {', '.join(METHODS)}")
    if options.patch.fill not in FILLS:
        raise OptionError(f"no fill {options.patch.fill!r}; there are: {', '.join(FILLS)}")
    several = options.picture.is_dir()
    for path in (options.out, options.sheet):
        if path is None or (several and path is options.out):
            continue
        if path.suffix.lower() not in ("", ".png"):
            raise OptionError(f"{path}: the figure is a PNG, so its name must end in .png")
    for path in (options.out, options.json, options.npz, options.sheet):
        if path is not None and not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent}", str(path))
    if several:
        if options.sheet is not None or options.mask is not None:
            raise OptionError("--sheet and --mask belong to one picture, not to a folder")
        for path in (options.out, options.json, options.npz):
            if path is not None and path.exists() and not path.is_dir():
                raise FileExistsError(
                    errno.EEXIST, "of a folder of pictures, files go to folders", str(path)
                )
