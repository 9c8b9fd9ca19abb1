"""``pitwatch study``: tables, plots and one page, from pictures that a random network explains."""

import csv
import dataclasses
import importlib
import json
import math
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import agent.reports
from agent import config
from agent.ablation.core.errors import AblationError
from agent.ablation.result import not_explainable
from agent.ablation.studies.curves import DELETION, INSERTION, Curve
from agent.ablation.studies.each_map import MapSets
from agent.ablation.studies.methods import METHODS, MethodMap
from agent.ablation.studies.studies import GroupDelta, Studied
from agent.config import Preprocessing
from agent.records import Region, RegionOcclusion
from agent.reports import tables
from agent.reports.exit_codes import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_OK
from agent.reports.report import html
from agent.reports.sources import Shot, folder_shots
from agent.reports.study_command import StudyOptions, run_study
from agent.reports.study_plots import _each_map_fractions, axes_of, study_plots
from agent.reports.tables import Observation, Survey
from tests.ablation.networks import UNET_LAYER, bar_and_disc, picture, unet

FACTS = {"pictures": "made up (2)", "score": "margin"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("model") / "random.safetensors"
    save_file(unet(features=2).module.state_dict(), path)
    return config.Model(
        path=path,
        classes=("background", "suture", "stem"),
        head=config.Head.LOGITS,
        preprocessing=Preprocessing(width_px=64, height_px=64),
        layer=UNET_LAYER,
    )


def shots():
    return [Shot(f"p{s}", lambda s=s: (picture(64, s), bar_and_disc(64))) for s in (0, 1)]


def options(tmp_path, model, **changes):
    wanted = {"shots": shots(), "source": "test", "out": tmp_path / "out", "model": model}
    return StudyOptions(**{**wanted, **changes})


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_a_study_of_two_pictures_has_every_table_plot_and_a_page_of_its_own(
    tmp_path, model, capsys
):
    wanted = options(tmp_path, model, classes=("suture",), groups="cluster:3", examples=1)
    assert run_study(wanted) == EXIT_OK
    out = tmp_path / "out"
    assert "suture: 2 of 2 pictures explained" in capsys.readouterr().out
    names = {path.stem for path in (out / "tables").iterdir()}
    assert names == set(tables.TABLES)
    channels = rows_of(out / "tables" / "channels.csv")
    assert [int(row["channel"]) for row in channels] == list(range(16))
    occlusion = rows_of(out / "tables" / "occlusion.csv")
    fractions = {float(r["fraction"]) for r in occlusion if r["region"] == "foreground"}
    assert fractions == {0.25, 0.5, 0.75, 1.0}
    single = rows_of(out / "tables" / "single_maps.csv")
    assert len(single) == 2 * 4 * 16
    assert {row["fraction"] for row in single} == {"0.25", "0.5", "0.75", "1.0"}
    groups = rows_of(out / "tables" / "groups.csv")
    assert len(groups) == 3, "clusters of the first picture serve all"
    methods = {row["method"]: row for row in rows_of(out / "tables" / "methods.csv")}
    assert tuple(methods) == METHODS
    assert float(methods["ablation-cam"]["rank_correlation"]) == pytest.approx(1)
    assert float(methods["ablation-cam"]["passes"]) == 17
    assert all(row["n"] == "2" for row in methods.values())
    said = json.loads((out / "study.json").read_text())
    assert said["facts"]["layer"].startswith(UNET_LAYER)
    assert [row["picture"] for row in said["tables"]["pictures"]] == ["p0", "p1"]
    for row in said["tables"]["pictures"]:
        assert row["null_control"] <= row["null_tolerance"]
        assert 0 <= row["dice_to_mask"] <= 1
    for path in (out / "plots").iterdir():
        assert ET.parse(path).getroot().tag.endswith("svg")
    page = (out / "report.html").read_text()
    plots = list((out / "plots").iterdir())
    assert page.count('src="data:image/svg+xml;base64,') == len(plots)
    assert page.count('src="data:image/jpeg;base64,') == 2, "the figure, and all methods"
    assert not re.findall(r'(?:src|href)="(?!data:)', page), "nothing is loaded from anywhere"
    assert "<script" not in page


@pytest.mark.long
def test_a_picture_that_cannot_be_read_is_named_and_costs_no_other(tmp_path, model, capsys):
    def broken():
        raise AblationError("broken.png: no picture that can be decoded")

    mixed = [Shot("broken", broken), shots()[0]]
    wanted = options(tmp_path, model, shots=mixed, classes=("suture",), maps=False, examples=0)
    assert run_study(wanted) == EXIT_FAILED
    assert "broken.png: no picture" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert "broken.png: no picture" in page
    assert "<h2>suture</h2>" in page
    assert not (tmp_path / "out" / "tables" / "single_maps.csv").exists()


def test_a_study_in_which_nothing_can_be_explained_fails_and_says_why(tmp_path, model, capsys):
    black = [Shot("black", lambda: (np.zeros((64, 64, 4), np.uint8), None))]
    assert run_study(options(tmp_path, model, shots=black)) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "none of 1 pictures could be explained" in said
    assert "no pixel of suture" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("stone",)}, "no class 'stone'; there are: background, suture, stem"),
        ({"layer": "encoder9"}, "no layer 'encoder9'"),
        ({"groups": "0;99"}, "no channel 99"),
        ({"baseline": "mean"}, "the model's card has none"),
    ],
)
def test_what_is_not_there_is_refused_before_the_work(tmp_path, model, capsys, changes, message):
    assert run_study(options(tmp_path, model, **changes)) == EXIT_CONFIGURATION
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be_listed_is_named(tmp_path):
    with pytest.raises(AblationError, match="none: cannot be listed"):
        folder_shots(tmp_path / "none")


# --- tables by hand -------------------------------------------------------------------------------


def record(deltas, margin_inside):
    from dataclasses import replace

    blank = not_explainable("suture", "", "margin")
    occlusion = RegionOcclusion(Region.FOREGROUND, 1.0, 4, 0.5, 0.8, margin_inside, -1.0)
    return replace(
        blank, explainable=True, y=2.0, y_null=2.0, null_tolerance=1e-5, y_all=0.0,
        deltas=np.array(deltas), spot_error=1e-7, occlusions=(occlusion,),
    )  # fmt: skip


def curve(measure, values):
    return Curve(measure, "blur", "map", np.array([0.0, 0.5, 1.0]), np.array(values))


def made_up():
    studied = [
        Studied(
            curves=(curve(INSERTION, [0, v, 1]), curve(DELETION, [1, 1 - v, 0])),
            groups=(GroupDelta((0, 1), 4 * v, v),),
            map_sets=(
                MapSets(Region.FOREGROUND, "strongest", (1, 2), np.array([v, 2 * v]), np.ones(2)),
            ),
        )
        for v in (0.4, 0.8)
    ]
    seen = [
        Observation("a", record([3.0, -1.0], 1.0), studied[0], 2.0, 0.9),
        Observation("b", record([1.0, -2.0], 2.0), studied[1], 2.0),
    ]
    return Survey(FACTS, {"suture": seen}, ["c: <not> explained"])


def test_channels_are_averaged_over_pictures():
    first, second = tables.channels(made_up())
    assert first["mean_delta"] == 2.0
    assert first["sd"] == pytest.approx(math.sqrt(2))
    assert (first["positive_share"], second["positive_share"]) == (1.0, 0.0)


def test_occlusions_curves_groups_and_sets_are_means_over_pictures():
    (occlusion,) = tables.occlusions(made_up())
    assert (occlusion["margin_inside"], occlusion["dice"], occlusion["n"]) == (1.5, 0.8, 2)
    by_key = {(r["measure"], r["fraction"]): r["y_share"] for r in tables.curves(made_up())}
    assert by_key[INSERTION, 0.5] == pytest.approx(0.6)
    assert by_key[DELETION, 0.5] == pytest.approx(0.4)
    (group,) = tables.groups(made_up())
    assert (group["mean_delta"], group["sum_of_single"]) == pytest.approx((2.4, 0.6))
    assert [r["mean_drop"] for r in tables.map_sets(made_up())] == pytest.approx([0.6, 1.2])


def test_methods_are_compared_on_the_layers_cells_inside_the_aperture():
    aperture = np.ones((4, 4), np.bool_)
    aperture[2:, 2:] = False
    own = np.array([[3.0, 2.0], [1.0, 9.0]], np.float32)
    fine = np.kron(np.array([[5.0, 3.0], [-1.0, np.nan]]), np.ones((2, 2))).astype(np.float32)
    studied = Studied(
        methods=(
            MethodMap("input-occlusion", fine, 10, 0.5),
            MethodMap("hires", None, 0, 0.0, "no gradient"),
        )
    )
    found = dataclasses.replace(record([1.0], 0.0), map=own)
    share = np.array([[0.5, 0.0], [0.0, 0.0]])
    seen = [Observation("a", found, studied, 0.0, 0.0, aperture, share)]
    occluded, hires = tables.methods(Survey(FACTS, {"suture": seen}, []))
    assert occluded["rank_correlation"] == pytest.approx(1)
    assert occluded["mass_on_class"] == pytest.approx(2.5 / 8)
    assert (occluded["seconds"], occluded["passes"], occluded["n"]) == (0.5, 10, 1)
    assert hires["n"] == 0
    assert math.isnan(hires["rank_correlation"])
    page = html(Survey(FACTS, {"suture": seen}, []), {}, [])
    assert "<td>input-occlusion</td><td>1</td><td>1.000" in page
    assert "<td>hires</td><td>0</td><td>-</td><td>-</td><td>-</td><td>-</td>" in page


def test_what_is_undefined_is_left_out_of_a_mean_and_nothing_is_a_nan():
    assert tables.mean_sd([1.0, math.nan, 3.0]) == pytest.approx((2.0, math.sqrt(2)))
    assert tables.mean_sd([2.0]) == (2.0, 0.0)
    assert all(math.isnan(value) for value in tables.mean_sd([math.nan]))


def test_consistency_is_the_rank_correlation_between_pictures():
    seen = [
        Observation(str(n), record(deltas, 0.0), Studied(), 0.0)
        for n, deltas in enumerate(([1.0, 2.0, 3.0], [2.0, 4.0, 9.0], [3.0, 2.0, 1.0]))
    ]
    assert tables.consistency(seen) == pytest.approx((1 - 1 - 1) / 3)
    assert math.isnan(tables.consistency(seen[:1]))


def test_words_from_outside_cannot_become_markup():
    page = html(made_up(), {}, [("<b>caption</b>", b"jpeg")])
    assert "&lt;not&gt; explained" in page
    assert "<b>caption" not in page


# --- plots ----------------------------------------------------------------------------------------


def test_plots_show_the_tables_numbers():
    plots = dict(axes_of(made_up(), "suture", "margin"))
    assert [bar.get_height() for bar in plots["channels"].patches] == [2.0, -1.5]
    up, down = (bar.get_facecolor() for bar in plots["channels"].patches)
    assert up != down, "what is for and what is against are told apart"
    lines = {line.get_label(): line for line in plots["margin"].lines}
    assert lines["foreground"].get_xdata().tolist() == [0.0, 1.0]
    assert lines["foreground"].get_ydata().tolist() == [2.0, 1.5]
    lines = {line.get_label(): line for line in plots["insertion-blur"].lines}
    assert lines["map"].get_ydata() == pytest.approx([0.0, 0.6, 1.0])
    assert lines["random"].get_ydata().tolist() == []


def test_the_same_survey_gives_the_same_plots_and_every_one_is_a_picture():
    plots = study_plots(made_up(), "margin")
    assert {"suture-channels", "suture-margin", "suture-dice", "suture-insertion-blur"} <= set(
        plots
    )
    for plot in plots.values():
        ET.fromstring(plot)
    assert study_plots(made_up(), "margin") == plots


def test_a_share_at_which_no_drop_is_known_is_left_out_and_warns_of_nothing(recwarn):
    drops = {0.5: math.nan, 1.0: -2.0}
    rows = [{"region": "foreground", "fraction": s, "mean_drop": d} for s, d in drops.items()]
    lines = {line.get_label(): line for line in _each_map_fractions(rows, "suture").lines}
    assert lines["foreground"].get_ydata() == pytest.approx([0.0, math.nan, 2.0], nan_ok=True)
    assert not recwarn.list


def test_a_class_may_have_any_name():
    survey = made_up()
    strange = Survey(survey.facts, {"<a&$b$>": survey.observations["suture"]}, [])
    plots = study_plots(strange, "margin")
    words = [text.text for text in ET.fromstring(plots["<a&$b$>-dice"]).findall(".//{*}text")]
    assert "<a&$b$>: Dice, all maps" in words
    assert "<a&" not in html(strange, plots, [])


def test_without_what_draws_the_report_a_study_says_what_to_install_and_explain_works(
    tmp_path, model, capsys, monkeypatch
):
    for name in [name for name in sys.modules if name.startswith("agent.reports.")]:
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(agent.reports, name.rpartition(".")[2])
    for name in ("matplotlib", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run_study(options(tmp_path, model)) == EXIT_CONFIGURATION
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "is not installed" in said
    assert "pip install matplotlib jinja2" in said
    importlib.import_module("agent.reports.explain")
