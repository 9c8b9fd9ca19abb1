"""What moving modules can break and no import shows: the wheel, and who may be imported first."""

from __future__ import annotations

import ast
import fnmatch
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
AGENT = ROOT / "agent"
FOR_A_CHECKOUT = {"training/start/unet8.safetensors"}
"""Weights that a training starts from: given by their path, from a checkout."""


def modules() -> dict[str, Path]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(AGENT.rglob("*.py"))
    }


def test_every_folder_with_modules_is_a_package() -> None:
    """Without ``__init__.py`` setuptools leaves a folder out of the wheel without a word."""
    folders = {file.parent for file in modules().values()}
    assert [str(one) for one in sorted(folders) if not (one / "__init__.py").is_file()] == []


def test_every_file_that_is_no_module_is_named_for_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["agent"]
    files = {
        str(file.relative_to(AGENT))
        for file in AGENT.rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc", ".md")
    }
    shipped = {file for file in files for one in patterns if fnmatch.fnmatch(file, one)}
    assert files - shipped == FOR_A_CHECKOUT
    assert [one for one in patterns if not fnmatch.filter(files, one)] == []


def test_no_module_needs_its_own_package_to_be_loaded_first() -> None:
    """A module that takes names from the package around it works only after that package has been
    imported from elsewhere, and fails as a test's or a child's first import."""
    known, found = modules(), []
    for name, file in known.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                taken = {f"{node.module}.{one.name}" for one in node.names}
                sources = {one if one in known else node.module for one in taken}
            elif isinstance(node, ast.Import):
                sources = {one.name for one in node.names}
            else:
                continue
            found += [
                (name, source)
                for source in sorted(sources)
                if source != "agent" and name.startswith(f"{source}.")
            ]
    assert found == []
