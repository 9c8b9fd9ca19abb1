"""What the configuration names outside of itself: is it there?

Looks, and changes nothing: no directory is made, no device opened, no host asked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from agent.alarms.catalogue import Cause, watched_ids
from agent.capture.check import check_source
from agent.capture.source import SourceError
from agent.capture.urls import parse
from agent.config import Alarms, Camera, Config, GenicamOptions, Head, Logging, Model, ModelFormat
from agent.config.load import ConfigErrors, ConfigProblem, Loaded, Overrides
from agent.config.load import load_config as load
from agent.config.rules import Broken
from agent.config.sections.recording import Recording
from agent.config.url import SOURCE_FORMS, check_stream
from agent.config.yaml import KeyPath
from agent.dataset.claim import foreign
from agent.models.card import card_path, read_card
from agent.models.errors import ModelError
from agent.models.files import BEGINNING, check_beginning, check_sha256, read_file, sha256_of
from agent.models.formats import factory_source, format_of
from agent.nearest import nearest
from agent.simulator.parameters import ParameterError, parse_url
from agent.storage.file.state_dir import refusal
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

NEEDED = {
    "classes": "names in the order of the channels, background first",
    "head": ", ".join(Head),
    "preprocessing": "width_px, height_px, colour, and scale, mean, std where they matter",
    "layer": "the layer whose maps are ablated",
}
"""What no file of a foreign network says about itself."""
LAYER = "model.layer"
LOOK_S = 5.0
"""How long the disk of ``state_dir`` may take to show it."""


def load_config(
    path: Path | None,
    overrides: Overrides | None = None,
    environment: Mapping[str, str] | None = None,
    in_use: Path | None = None,
) -> Loaded:
    """``agent.config.load.load_config`` that also looks at what the values name outside.

    ``in_use``: the ``state_dir`` of this very process, which is not looked at. Whoever opens and
    closes a database that is open in the same process gives up its locks
    (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    loaded = load(path, overrides, environment, partial(missing_things, in_use=in_use))
    return replace(loaded, warnings=(*loaded.warnings, *not_yet_there(loaded.config)))


def load_model_settings(path: Path | None, overrides: Overrides | None = None) -> Model:
    """The section ``model`` of a configuration whose other sections may be wrong here: a plant's
    own names cameras, folders and secrets that another computer does not have.

    ``ConfigErrors`` with what is wrong with the section, or with the file itself.
    """
    try:
        return load_config(path, overrides).config.model
    except ConfigErrors as errors:
        about_it = [one for one in errors.problems if _about_model(one)]
        if about_it or errors.config is None:
            raise ConfigErrors(errors.source, about_it or errors.problems) from errors
        return errors.config.model


def _about_model(problem: ConfigProblem) -> bool:
    """Of the section, or of a key that may be meant to be it."""
    first, _, rest = problem.path.partition(".")
    if first == "model":
        return problem.path != LAYER  # a command has an option for it, or does without
    return not rest and problem.message == "is no key"


def not_yet_there(config: Config) -> Iterator[str]:
    """Yield every folder of pictures that is away or empty: it is waited for, as any camera is."""
    for place, camera in enumerate(config.cameras):
        if camera.source.startswith("sim:"):
            continue
        refused = _refusals(("cameras", place, "source"), camera.source, config.state_dir)
        for missing in (check_source(camera), *(broken.message for broken in refused)):
            if missing:
                yield f"cameras[{place}].source is waited for: {missing}"


def missing_things(config: Config, in_use: Path | None = None) -> Iterator[Broken]:
    """Yield every file, folder and source that is named and cannot be used.

    A key that has an error of its own has no value, and is passed over; ``in_use`` as of
    ``load_config``.
    """
    for path, section in config.walk():
        if isinstance(section, Camera) and hasattr(section, "source"):
            yield from _source_problems(path, section, getattr(config, "state_dir", None))
        for key, value in section:
            if isinstance(value, Path):
                if key == "state_dir":
                    if in_use is None or value.resolve() != in_use.resolve():
                        yield from _state_dir_problems((*path, key), value, _owner(config))
                elif isinstance(section, Recording):
                    yield from _folder_problems((*path, key), value)
                    if whose := foreign(value, _owner(config)):
                        yield Broken((*path, key), whose)
                elif isinstance(section, Logging):  # a file that is written
                    yield from _folder_problems((*path, key), value.parent)
                else:
                    yield from _file_problems((*path, key), value)
        if isinstance(section, Model):
            for broken in incomplete(section):
                if broken.path != ("layer",) or _explains(config):
                    yield replace(broken, path=(*path, *broken.path))
        if isinstance(section, Alarms) and hasattr(section, "reference"):
            for variety, file in section.reference.items():
                yield from _file_problems((*path, "reference", variety), file)
    yield from _shared_folders(config)
    yield from _unknown_alarms(config)


def _unknown_alarms(config: Config) -> Iterator[Broken]:
    """An alarm that is to be out of service and is written otherwise would annunciate."""
    if not hasattr(config, "alarms") or not hasattr(config.alarms, "out_of_service"):
        return
    try:
        cameras = [camera.name for camera in config.cameras]
        lanes = [lane.name for camera in config.cameras for lane in camera.effective_lanes()]
    except AttributeError:  # a camera without a name that can be used: only causes are known
        cameras = lanes = []
    known = sorted({*Cause, *watched_ids(lanes, cameras, lanes)})
    for place, name in enumerate(config.alarms.out_of_service):
        of_some_camera = not lanes and name.startswith(tuple(f"{cause}-" for cause in Cause))
        if name not in known and not of_some_camera:
            yield Broken(
                ("alarms", "out_of_service", place),
                "is no alarm",
                f"{', '.join(Cause)}; or of one camera, as {Cause.NO_READ_RATE}-cam1",
                nearest(name, known),
            )


def _explains(config: Config) -> bool:
    try:
        return config.ablation.workers.count != 0
    except AttributeError:  # an error of its own
        return True


def incomplete(model: Model) -> Iterator[Broken]:
    """Yield what a network that is not the built-in one has to say and does not, here or in its
    card; and a factory whose source is not there, or is another than the one trusted."""
    try:
        if model.path is not None and not model.path.is_file():
            return  # told already
        kind = format_of(model)
        if kind is ModelFormat.WEIGHTS:
            return
        card = read_card(card_path(model.path)) if model.path is not None else None
        path, factory = model.path, model.factory
        if path is not None:
            with path.open("rb") as file:
                check_beginning(file.read(BEGINNING), path)
        if factory is not None:
            source = read_file(factory_source(factory))
            wanted = model.sha256 if model.trust == "program" else None
            check_sha256(factory, sha256_of(source), wanted, "model.sha256")
    except AttributeError:  # a key with an error of its own
        return
    except ModelError as error:
        yield Broken(
            ("path",) if model.factory is None else ("factory",), f"cannot be used: {error}"
        )
        return
    beside = "" if path is None else f", or in {card_path(path).name} beside the file"
    for key, what in NEEDED.items():
        said = getattr(model, key, None), getattr(card, key, None)
        if hasattr(model, key) and said == (None, None):
            yield Broken(
                (key,), f"is missing: only the built-in network goes without{beside}", what
            )


def _source_problems(path: KeyPath, camera: Camera, state_dir: Path | None) -> Iterator[Broken]:
    place = (*path, "source")
    try:
        if camera.source.startswith("sim:"):
            parse_url(camera.source)  # what YAML adds is looked at apart, for the sake of its place
            yield from _sim_problems(path, camera)
        elif camera.source.startswith(("rtsp:", "rtsps:")):
            check_stream(camera.source)
        elif camera.source:
            check_source(Camera(name="camera", source=camera.source, genicam=_told(camera)))
            yield from _watch_problems(place, camera.source, state_dir)
    except ParameterError as error:
        yield from (Broken(place, f"is no simulated camera: {wrong}") for wrong in error.wrong)
    except SourceError as error:
        yield Broken(place, f"cannot be used: {error.detail or error.reason}", SOURCE_FORMS)
    except OSError as error:
        yield Broken(place, f"cannot be used: {error.strerror}", SOURCE_FORMS)
    except ValueError as error:
        yield Broken(place, f"cannot be used: {error}", SOURCE_FORMS)


def _told(camera: Camera) -> GenicamOptions | None:
    """What YAML tells a machine camera, as far as it has no errors of its own."""
    told = getattr(camera, "genicam", None) if camera.source.startswith("genicam:") else None
    return None if told is None or told.type_errors or any(told.broken()) else told


def _watch_problems(place: KeyPath, source: str, state_dir: Path | None) -> Iterator[Broken]:
    """What a watched folder refuses. An empty one may be the place of a share that is not mounted,
    and is waited for."""
    with contextlib.suppress(OSError):
        if not any(Path(parse(source).location).iterdir()):
            return
    yield from _refusals(place, source, state_dir)


def _shared_folders(config: Config) -> Iterator[Broken]:
    """Two cameras cannot both have the pictures of a folder from which one takes them away."""
    first: dict[Path, tuple[str, str]] = {}
    for path, section in config.walk():
        if not isinstance(section, Camera) or not hasattr(section, "source"):
            continue
        try:
            url = parse(section.source)
        except (SourceError, OSError, ValueError):
            continue  # told already
        if not url.watches:
            continue
        own = getattr(section, "name", ""), url.after
        name, after = first.setdefault(Path(url.location).absolute(), own)
        if name != own[0] and {after, url.after} != {"keep"}:
            yield Broken(
                (*path, "source"),
                f"is the folder of camera {name!r}: each picture would come to one of the two",
                "a folder for each, or after=keep for both",
            )


def _refusals(place: KeyPath, source: str, state_dir: Path | None) -> Iterator[Broken]:
    """A watched folder takes what becomes of its pictures, or the journal of those that stay."""
    url = parse(source)
    folder = Path(url.location)
    if not url.watches or not folder.is_dir():
        return
    if url.after != "keep":
        yield from _folder_problems(place, folder)
    elif state_dir is None:
        for broken in _folder_problems(place, folder):
            yield Broken(
                place,
                f"{broken.message}; after=keep notes there what was read",
                "a folder in which the agent may write, or state_dir",
            )


def _sim_problems(path: KeyPath, camera: Camera) -> Iterator[Broken]:
    """What YAML tells a simulated machine, and whether its lanes are told apart."""
    try:
        lanes = parse_url(camera.source, getattr(camera, "sim", None)).machine.lanes
    except ParameterError as error:
        sim = (*path, "sim")
        yield from (Broken(sim, f"cannot be simulated: {wrong}") for wrong in error.wrong)
        return
    if lanes > 1 and getattr(camera, "lanes", None) == ():
        yield Broken(
            (*path, "lanes"),
            f"is missing: the simulated picture shows {lanes} lanes side by side, which would be "
            "read as one fruit",
            "a name and a region for each lane",
        )


def _file_problems(path: KeyPath, file: Path) -> Iterator[Broken]:
    try:
        with file.open("rb"):
            return
    except OSError as error:
        yield Broken(path, f"cannot be read: {error.strerror}", "a readable file")
    except ValueError:
        yield Broken(path, "is no path", "a readable file")


def _owner(config: Config) -> str:
    try:
        return config.owner
    except AttributeError:  # an error of its own
        return ""


def _state_dir_problems(path: KeyPath, folder: Path, owner: str) -> Iterator[Broken]:
    """What is wrong with it. Nothing is where the disk does not answer in time: a start that waited
    for it would wait for as long as it hangs, and the storage lives with such a disk."""
    found: list[Broken] = []

    def look() -> None:
        found.extend(_state_dir_refusals(path, folder, owner))

    looking = threading.Thread(target=look, name="preflight", daemon=True)
    looking.start()
    looking.join(LOOK_S)
    if looking.is_alive():
        log_event(logger, logging.WARNING, "state_dir_does_not_answer", waited_s=LOOK_S)
        return
    yield from found


def _state_dir_refusals(path: KeyPath, folder: Path, owner: str) -> Iterator[Broken]:
    """A folder that takes a file must have locks, and no database of a later version or of another
    agent."""
    found = tuple(_folder_problems(path, folder))
    yield from found
    if not found and folder.is_dir() and (refused := refusal(folder, owner)):
        yield Broken(path, refused)


def _folder_problems(path: KeyPath, folder: Path) -> Iterator[Broken]:
    """A folder that is there must take a file; one that is not must have a parent that would."""
    allowed = "a folder in which the agent may write, or one that it may make"
    try:
        nearest = folder.absolute()
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            yield Broken(path, f"cannot be used: {nearest} is not a folder", allowed)
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield Broken(path, f"cannot be written: {nearest} is read-only", allowed)
        else:
            with tempfile.TemporaryFile(dir=nearest):
                return
    except OSError as error:
        yield Broken(path, f"cannot be written: {error.strerror}", allowed)
    except ValueError:
        yield Broken(path, "is no path", allowed)
