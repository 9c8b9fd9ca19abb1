"""``pitwatch explain`` and ``pitwatch study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.options import (
    BASELINES,
    BIT_DEPTHS,
    SEED,
    BaselineOption,
    FactoryOption,
    GroupsOption,
    LayerOption,
    ModelOption,
    NetworkOption,
    ReferenceOption,
    ScoreOption,
    Sha256Option,
    TrustOption,
    load_network,
    one_of,
)
from agent.cli.pictures import reference_shots, shots


def explain(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE|FOLDER", help="PNG, JPEG, BMP, TIFF, WebP: what run reads of a folder."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The six panels as one PNG."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The numbers.")
    ] = None,
    npz: Annotated[
        Path | None, typer.Option("--npz", metavar="FILE", help="The arrays, for numpy.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The maps of all layers as one PNG.")
    ] = None,
    layers: Annotated[
        str, typer.Option(metavar="PATTERN", help="Layers of --sheet, such as 'encoder*relu2'.")
    ] = "*",
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="True mask to compare with: white suture, green stem."),
    ] = None,
    bit_depth: Annotated[
        str | None,
        typer.Option(metavar="BITS", help="Of 16 bits so many are used: 8, 10, 12, 14 or 16."),
    ] = None,
    config: NetworkOption = None,
    model: ModelOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    layer: LayerOption = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|INDEX", help="Default: the first foreground class."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="ablation-cam, occlusion, region-occlusion, hires, seg-grad-cam, or "
            "seg-eigen-cam.",
        ),
    ] = "ablation-cam",
    score: ScoreOption = "margin",
    baseline: BaselineOption = "zero",
    reference: ReferenceOption = None,
    region: Annotated[
        str,
        typer.Option(
            metavar="REGION",
            help="What is explained: predicted, component[:N], box:X,Y,W,H, or mask:FILE.",
        ),
    ] = "predicted",
    groups: GroupsOption = "",
    checks: Annotated[
        bool,
        typer.Option("--checks", help="Insertion, deletion, agreement with blocks and gradients."),
    ] = False,
    patch: Annotated[
        str, typer.Option(metavar="PX|WxH", help="Side or sides of --method occlusion.")
    ] = "16",
    stride: Annotated[str, typer.Option(metavar="PX|WxH", help="Of --method occlusion.")] = "8",
    fill: Annotated[
        str, typer.Option(metavar="NAME", help="Of --method occlusion: zero, mean, or blur.")
    ] = "blur",
    dice: Annotated[
        bool, typer.Option(help="Of --method occlusion: without the Dice it is much faster.")
    ] = True,
) -> None:
    """Show what the model looks at in a picture. Without --out, --json, --npz: one PNG here."""
    from agent.config import Score
    from agent.reports.explain_command import METHODS, ExplainOptions, PatchOptions, explain_picture

    options = ExplainOptions(
        # A mistyped name is told before anything is read.
        method=one_of(METHODS, method, "--method"),
        score=one_of(Score, score, "--score"),
        baseline=one_of(BASELINES, baseline, "--baseline"),
        picture=picture,
        bit_depth=None if bit_depth is None else int(one_of(BIT_DEPTHS, bit_depth, "--bit-depth")),
        out=out,
        json=json,
        npz=npz,
        sheet=sheet,
        layers=layers,
        reference=reference_shots(reference),
        region=region,
        groups=groups,
        checks=checks,
        patch=PatchOptions(
            size_px=_sides(patch, "--patch"),
            stride_px=_sides(stride, "--stride"),
            fill=fill,
            dice=dice,
        ),
        mask=mask,
        model=load_network(config, model, factory, trust, sha256),
        layer=layer,
        class_name=class_name,
    )
    raise typer.Exit(explain_picture(options))


def study(
    source: Annotated[
        str, typer.Argument(metavar="FOLDER|sim:", help="Pictures, or simulated fruit.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Report, tables and plots go here.")
    ],
    count: Annotated[int, typer.Option(min=1, help="At most so many pictures.")] = 8,
    class_names: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="NAME", help="Repeatable; default: all but the first."),
    ] = None,
    config: NetworkOption = None,
    model: ModelOption = None,
    factory: FactoryOption = None,
    trust: TrustOption = None,
    sha256: Sha256Option = None,
    layer: LayerOption = None,
    score: ScoreOption = "margin",
    baseline: BaselineOption = "zero",
    reference: ReferenceOption = None,
    groups: GroupsOption = "",
    examples: Annotated[int, typer.Option(min=0, help="Pictures shown in the report.")] = 3,
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Regions in each map separately: slow.")
    ] = True,
    methods: Annotated[
        bool,
        typer.Option("--methods/--no-methods", help="Maps of other methods beside Ablation-CAM's."),
    ] = True,
    seed: Annotated[int, typer.Option(**SEED, help="Of random cells, channels and orders.")] = 0,
) -> None:
    """Ablate every channel, hide regions in one, some and all maps: one report on many pictures."""
    from agent.config import Score
    from agent.reports.study_command import StudyOptions, run_study

    options = StudyOptions(
        shots=shots(source, count),
        source=source,
        out=out,
        model=load_network(config, model, factory, trust, sha256),
        layer=layer,
        classes=tuple(class_names or ()),
        score=one_of(Score, score, "--score"),
        baseline=one_of(BASELINES, baseline, "--baseline"),
        reference=reference_shots(reference),
        groups=groups,
        examples=examples,
        maps=maps,
        methods=methods,
        seed=seed,
    )
    raise typer.Exit(run_study(options))


def _sides(given: str, option: str) -> int | tuple[int, int]:
    """``16``, or the (height, width) of ``24x8``, which is the width and the height."""
    width, cross, height = given.lower().partition("x")
    if not width.isdecimal() or (cross and not height.isdecimal()):
        raise typer.BadParameter(f"{given!r} is no size such as 16 or 24x8", param_hint=option)
    return (int(height), int(width)) if cross else int(width)
