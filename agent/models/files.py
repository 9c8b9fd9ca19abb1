"""The files of models: read once, told by their hash, and by what they are where they are none.

Nothing here loads a network library.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from agent.models.errors import ModelError

FILE_LIMIT_BYTES = 4 * 1024**3
BEGINNING = 256
LFS_POINTER = b"version https://git-lfs.github.com/"
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
"""How web pages begin: what a link that asks for a login gives instead of the file."""
BROKEN_ZIP = (zipfile.BadZipFile, zipfile.LargeZipFile)


def read_file(path: Path) -> bytes:
    """The whole file, read once, so that what is hashed is what is loaded.

    ``ModelError`` for one that cannot be read, is too large, or is what stands in the place of a
    file that was never fetched.
    """
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT_BYTES:
            raise ModelError(f"{path}: {size} bytes, more than the {FILE_LIMIT_BYTES} allowed")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    check_beginning(data, path)
    return data


def check_beginning(data: bytes, path: Path) -> None:
    """Raise ``ModelError`` for what stands in the place of a file that was never fetched, by its
    first ``BEGINNING`` bytes."""
    if data.startswith(LFS_POINTER):
        raise ModelError(
            f"{path}: a Git LFS pointer, not the file that it points to: fetch that (git lfs pull)"
        )
    if data[:BEGINNING].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PAGES):
        raise ModelError(
            f"{path}: a web page, not a model: what was downloaded is a page about the file, "
            "or an error"
        )


def sha256_of(data: bytes, *more: bytes) -> str:
    """64 hexadecimal digits, lower case, as ``sha256sum`` prints them; of several files as of all
    of them behind each other (``cat a b | sha256sum``)."""
    made = hashlib.sha256(data)
    for each in more:
        made.update(each)
    return made.hexdigest()


def check_sha256(name: str, found: str, wanted: str | None, said_by: str) -> None:
    """Raise ``ModelError`` when ``said_by`` declares another sha256 than the file has."""
    if wanted is not None and wanted != found:
        raise ModelError(f"{name}: sha256 is {found}, but {said_by} says {wanted}")


def check_archive(data: bytes, name: str) -> None:
    """Raise ``ModelError`` where ``data`` is a zip archive with an entry that its own checksum does
    not fit. torch reads such an archive without a word: the weights are then others."""
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
    except (*BROKEN_ZIP, EOFError, OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{name}: damaged: its archive cannot be read: {error}") from error
    if damaged is not None:
        raise ModelError(
            f"{name}: damaged: {damaged} does not fit its checksum in the file; copy it anew"
        )
