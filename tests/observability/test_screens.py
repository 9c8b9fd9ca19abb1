"""The pictures of the page that are kept: of the model that ships, and each as it was taken."""

from __future__ import annotations

import json
import re

import cv2
import pytest

from agent.models.loading import default_weights
from tests.screens.__main__ import DEPLOY, FOLDER, MADE, PAGE, PAGE_VIEW, sha256
from tests.screens.views import SCENES

WORD = json.loads((FOLDER / MADE).read_text())
VIEWS = {view.name: view for scene in SCENES for view in scene.views}


def test_they_are_of_the_model_that_ships() -> None:
    assert WORD["model_sha256"] == sha256(default_weights()), "python -m tests.screens"


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_is_there_as_it_was_taken(name: str) -> None:
    file = FOLDER / f"{name}.jpg"
    assert sha256(file) == WORD["pictures"][name]
    picture = cv2.imread(str(file))
    assert picture is not None
    assert picture.shape[1::-1] == VIEWS[name].size


def test_nothing_else_is_kept_and_the_readme_shows_one_of_them() -> None:
    assert {file.stem for file in FOLDER.glob("*.jpg")} == set(VIEWS) == set(WORD["pictures"])
    assert sha256(DEPLOY / PAGE) == WORD["pictures"][PAGE_VIEW]
    readme = (DEPLOY.parent / "README.md").read_text()
    assert re.findall(r"!\[[^]]+\]\(deploy/(\S+)\)", readme) == [PAGE]
