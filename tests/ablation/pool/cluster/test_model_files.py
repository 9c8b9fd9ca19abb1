"""A model's files on their way to another machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import config
from agent.ablation.pool.cluster.messages import ModelFiles
from agent.ablation.pool.cluster.model_files import (
    KEPT_MODELS,
    TRUSTED_VARIABLE,
    check_trusted,
    place_model,
    read_model,
)
from agent.models.errors import ModelError
from agent.models.files import sha256_of

DIGEST = "ab" * 32


@pytest.fixture
def model(tmp_path: Path) -> config.Model:
    path = tmp_path / "peach.safetensors"
    path.write_bytes(b"weights")
    path.with_name("peach.card.json").write_bytes(b"card")
    return config.Model(path=path)


def program(**more: object) -> config.Model:
    fields = {"path": Path("net.ts"), "trust": "program", "sha256": DIGEST, **more}
    return config.Model(**fields)  # type: ignore[arg-type]


def test_weights_and_card_arrive_under_their_names(model: config.Model, tmp_path: Path) -> None:
    files, contents = read_model(model)
    placed = place_model(model, files, contents, tmp_path / "kept")
    assert placed.path is not None
    assert placed.path.name == "peach.safetensors"
    assert placed.path.read_bytes() == b"weights"
    assert placed.path.with_name("peach.card.json").read_bytes() == b"card"
    assert place_model(model, files, contents, tmp_path / "kept") == placed
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_the_model_of_the_package_does_not_travel(tmp_path: Path) -> None:
    files, contents = read_model(config.Model())
    assert contents == ()
    assert place_model(config.Model(), files, contents, tmp_path / "kept").path is None
    assert not (tmp_path / "kept").exists()


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.safetensors: cannot be read"):
        read_model(config.Model(path=tmp_path / "gone.safetensors"))


def test_contents_of_another_digest_are_refused(model: config.Model, tmp_path: Path) -> None:
    files, _ = read_model(model)
    with pytest.raises(ModelError, match="arrived with sha256"):
        place_model(model, files, (b"weightz", b"card"), tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("name", ["../peach.pt", "a/b.pt", ".hidden", "/etc/passwd"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    files = ModelFiles({name: sha256_of(b"x")})
    with pytest.raises(ModelError, match="no name of a file"):
        place_model(config.Model(), files, (b"x",), tmp_path / "kept")


def test_a_file_that_was_changed_on_the_machine_is_written_again(
    model: config.Model, tmp_path: Path
) -> None:
    files, contents = read_model(model)
    placed = place_model(model, files, contents, tmp_path / "kept").path
    assert placed is not None
    placed.write_bytes(b"tampered")
    assert place_model(model, files, contents, tmp_path / "kept").path == placed
    assert placed.read_bytes() == b"weights"


def test_a_machine_keeps_only_the_newest_models(tmp_path: Path) -> None:
    for number in range(KEPT_MODELS + 2):
        data = str(number).encode()
        files = ModelFiles({"net.safetensors": sha256_of(data)})
        placed = place_model(config.Model(), files, (data,), tmp_path / "kept").path
        assert placed is not None
        os.utime(placed.parent, (number, number))
    kept = {path.read_bytes() for path in (tmp_path / "kept").glob("*/net.safetensors")}
    assert len(kept) == KEPT_MODELS
    assert b"0" not in kept


def test_a_folder_that_others_may_write_to_is_not_used(model: config.Model, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    folder.chmod(0o777)
    files, contents = read_model(model)
    with pytest.raises(ModelError, match="others may write"):
        place_model(model, files, contents, folder)


def test_a_disk_that_does_not_take_the_model_is_named(model: config.Model, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"a file in the place of the folder")
    files, contents = read_model(model)
    with pytest.raises(ModelError, match="kept"):
        place_model(model, files, contents, tmp_path / "kept")


def test_a_program_is_refused_where_the_machine_trusts_none() -> None:
    with pytest.raises(
        ModelError, match=f"net.ts: this machine trusts no program.*{TRUSTED_VARIABLE}"
    ):
        check_trusted(program(), {})


def test_a_program_needs_its_digest_in_the_machines_own_list(tmp_path: Path) -> None:
    trusted = tmp_path / "trusted"
    environ = {TRUSTED_VARIABLE: str(trusted)}
    with pytest.raises(ModelError, match="trusted: No such file"):
        check_trusted(program(), environ)
    trusted.write_text("cd" * 32 + "  other.ts\n\n")
    with pytest.raises(ModelError, match=f"its sha256 {DIGEST} is not among those of"):
        check_trusted(program(), environ)
    trusted.write_text(DIGEST.upper() + "  net.ts\n")
    check_trusted(program(), environ)


def test_a_factory_has_to_be_on_the_machine_as_well(tmp_path: Path) -> None:
    trusted = tmp_path / "trusted"
    trusted.write_text(DIGEST)
    factory = program(path=None, factory="no_such_module_here:make")
    with pytest.raises(ModelError, match="no_such_module_here"):
        check_trusted(factory, {TRUSTED_VARIABLE: str(trusted)})
