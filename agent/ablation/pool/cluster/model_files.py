"""A model's files on their way to another machine: read, checked by digest, kept there.

A model that is a program runs code when it is loaded. That the agent's configuration trusts it says
nothing about another machine, so that machine says so itself: ``PITWATCH_TRUSTED_PROGRAMS`` in the
environment of its Ray names a file with one SHA-256 a line.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent import config
from agent.ablation.pool.cluster.messages import ModelFiles
from agent.models.card import card_path
from agent.models.errors import ModelError
from agent.models.files import read_file, sha256_of
from agent.models.formats import factory_source, format_of

TRUSTED_VARIABLE = "PITWATCH_TRUSTED_PROGRAMS"
TRUSTED_LIMIT_BYTES = 1 << 20
KEPT_MODELS = 4
"""Models kept on a machine; of more the oldest are removed."""
_DATA = (config.ModelFormat.WEIGHTS, config.ModelFormat.ONNX)


def read_model(model: config.Model) -> tuple[ModelFiles, tuple[bytes, ...]]:
    """The files that ``model`` names on this machine; ``ModelError`` for one that is not there."""
    if model.path is None:
        return ModelFiles({}), ()
    card = card_path(model.path)
    paths = [model.path, *([card] if card.is_file() else [])]
    contents = tuple(read_file(path) for path in paths)
    digests = {p.name: sha256_of(data) for p, data in zip(paths, contents, strict=True)}
    return ModelFiles(digests), contents


def place_model(
    model: config.Model, files: ModelFiles, contents: Sequence[bytes], folder: Path
) -> config.Model:
    """``model`` with its path on this machine, where its files are written below ``folder``.

    ``ModelError`` for contents that are not those of their digests, a disk that does not take
    them, and a program that this machine does not trust.
    """
    check_trusted(model, os.environ)
    if not files.digests:
        return model
    for (name, digest), data in zip(files.digests.items(), contents, strict=True):
        if Path(name).name != name or name.startswith("."):
            raise ModelError(f"{name!r} is no name of a file")
        if (found := sha256_of(data)) != digest:
            raise ModelError(f"{name}: arrived with sha256 {found}, sent was {digest}")
    whole = sha256_of("".join(f"{n} {d}\n" for n, d in files.digests.items()).encode())
    try:
        where = _kept(folder, whole, dict(zip(files.digests, contents, strict=True)))
    except OSError as error:
        raise ModelError(f"{folder}: cannot keep the model: {error.strerror or error}") from error
    return model.model_copy(update={"path": where / next(iter(files.digests))})


def model_folder() -> Path:
    """Where this user's workers keep the models that were sent to them."""
    return Path(tempfile.gettempdir()) / f"pitwatch-models-{os.getuid()}"


def check_trusted(model: config.Model, environ: Mapping[str, str]) -> None:
    """``ModelError`` when ``model`` is a program that this machine does not trust by itself."""
    if format_of(model) in _DATA:
        return
    said = f"this machine trusts no program: set {TRUSTED_VARIABLE} to a file of SHA-256 lines"
    path = environ.get(TRUSTED_VARIABLE)
    if not path:
        raise ModelError(f"{_named(model)}: {said}")
    try:
        with Path(path).open("rb") as file:
            text = file.read(TRUSTED_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise ModelError(f"{TRUSTED_VARIABLE}: {path}: {error.strerror or error}") from error
    trusted = {line.split()[0].lower() for line in text.splitlines() if line.split()}
    if model.sha256 is None or model.sha256 not in trusted:
        raise ModelError(f"{_named(model)}: its sha256 {model.sha256} is not among those of {path}")
    if model.factory is not None:
        factory_source(model.factory)  # named here, when it is missing here


def _named(model: config.Model) -> str:
    return str(model.factory or (model.path.name if model.path else "model"))


def _kept(folder: Path, digest: str, contents: Mapping[str, bytes]) -> Path:
    """The folder of one model below ``folder``, its files as in ``contents``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = folder.lstat()
    if not stat.S_ISDIR(said.st_mode) or said.st_uid != os.getuid() or said.st_mode & 0o022:
        raise ModelError(f"{folder}: belongs to somebody else, or others may write to it")
    where = folder / digest
    if _has(where, contents):
        os.utime(where)
        return where
    written = Path(tempfile.mkdtemp(dir=folder, prefix="new-"))
    try:
        for name, data in contents.items():
            (written / name).write_bytes(data)
        shutil.rmtree(where, ignore_errors=True)
        try:
            written.rename(where)
        except OSError:
            if not _has(where, contents):  # else another worker was faster
                raise
    finally:
        shutil.rmtree(written, ignore_errors=True)
    _forget_old(folder)
    return where


def _has(where: Path, contents: Mapping[str, bytes]) -> bool:
    try:
        return all((where / name).read_bytes() == data for name, data in contents.items())
    except OSError:
        return False


def _forget_old(folder: Path) -> None:
    models = [path for path in folder.iterdir() if not path.name.startswith("new-")]
    models.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in models[KEPT_MODELS:]:
        shutil.rmtree(path, ignore_errors=True)
