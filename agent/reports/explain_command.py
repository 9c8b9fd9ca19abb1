"""``pitwatch explain``: pictures to figures, numbers and arrays.

Importing this module loads no network library, so that a command line can be built from it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent import config
from agent.reports.ending import OptionError, exit_code

if TYPE_CHECKING:
    from agent.reports.sources import Shot

METHODS = ("ablation-cam", "occlusion", "region-occlusion", "hires")
FILLS = ("zero", "mean", "blur")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchOptions:
    """Of the occlusion of the input, on the network's grid."""

    size_px: int = 16
    stride_px: int = 8
    fill: str = "blur"
    dice: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """One picture or a folder of them, one class.

    With none of ``out``, ``json``, ``npz`` and ``sheet`` given, the figure goes to
    ``<picture's stem>-explained.png`` in the working directory; of a folder the three are folders,
    and figures go to ``<folder>-explained``. ``layer`` at None is the model card's; ``class_name``
    at None the first foreground class, and it may be an index. ``mask`` is a colour mask (white
    bar = suture, green = stem) shown beside the prediction and compared with it; ``region`` is in
    the words of ``focus.FORMS``. ``reference`` are the pictures for the baseline ``mean``, where
    the model's card has no means. ``sheet`` is one picture of the maps of all layers that the
    pattern ``layers`` fits.
    """

    picture: Path
    out: Path | None = None
    json: Path | None = None
    npz: Path | None = None
    sheet: Path | None = None
    layers: str = "*"
    mask: Path | None = None
    model: config.Model = field(default_factory=config.Model)
    layer: str | None = None
    class_name: str | None = None
    method: str = "ablation-cam"
    score: config.Score = config.Score.MARGIN
    baseline: Literal["zero", "mean"] = "zero"
    reference: Sequence[Shot] = ()
    region: str = "predicted"
    groups: str = ""
    checks: bool = False
    patch: PatchOptions = PatchOptions()
    region_threshold: float = 0.5
    overlay_range: float | None = None
    seed: int = 0


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
