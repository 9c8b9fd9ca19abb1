"""A folder into which other software drops pictures: each is read once, as it arrives."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG

from agent.capture.source import (
    Picture,
    PictureError,
    Place,
    SourceError,
    SourceInfo,
    SourceSession,
)
from agent.capture.sources.arrivals import Arrival, Arrivals, Stamp
from agent.capture.sources.folder import unlisted
from agent.capture.sources.journal import Journal
from agent.capture.sources.pace import Pacer
from agent.capture.sources.pictures import PictureReader
from agent.capture.sources.size import size_changed
from agent.capture.urls import parse
from agent.config import Camera
from agent.picture_files import is_picture_name, printable
from agent.telemetry import log_event

logger = logging.getLogger(__name__)

POLL_S = 0.05
LIST_AGAIN_S = 1.0
"""A folder's own time is coarse, and on a share may lag: it is listed anyway."""
LIST_SHARE = 0.1
"""Most of the time that listing a large folder again and again may take."""
KEPT_A_LOOK = 50
"""Of the files that were read so many are looked at each time: they change nothing about their
folder when they are written again."""
BURST_FPS = 10.0
"""Pace of pictures that wait, without ``fps``: twice a machine's, so that no slot overflows."""
OTHER_SIZE = 3
"""Pictures of another size in a row that are no accident."""
DONE, UNREADABLE = "done", "unreadable"


class WatchSource:
    """``?watch=1``, and ``after``: what becomes of a picture that was read.

    ``keep`` leaves it and notes it in a journal, ``move`` puts it into ``done/``, ``delete`` takes
    it away; a picture that cannot be read goes to ``unreadable/`` with the last two. That happens
    before the picture is handed out: where it cannot be done, the picture is not used, and comes
    when it can. Its stamp is when it arrived. ``max_age_s`` counts from when it was read.
    """

    def __init__(self, camera: Camera) -> None:
        url = parse(camera.source)
        self._name = camera.name
        self._folder = Path(url.location)
        self._after = url.after
        self._fps = camera.fps or 0.0
        self._pacer = Pacer(camera.fps or BURST_FPS)
        self._reader = PictureReader(camera)
        self._arrivals = Arrivals()
        self._queue: deque[Arrival] = deque()
        self._session = SourceSession()
        self._journal: Journal | None = None
        self._size: tuple[int, int] | None = None
        self._other_size = 0  # pictures in a row
        self._folder_mtime_ns = -1
        self._list_again_mono = 0.0
        self._fresh: list[str] = []
        self._kept: list[str] = []
        self._kept_next = 0

    def resume(self, session: SourceSession) -> None:
        """Take the session's place and the folder for what must survive a restart."""
        self._session = session

    def open(self) -> SourceInfo:
        """Look at the folder; no picture need be there. ``SourceError``."""
        try:
            present = self._list(kept=True)
            if self._after == "keep":
                self._journal = self._open_journal(present)
            else:
                with tempfile.TemporaryFile(dir=self._folder):  # refused now, and not later
                    pass
        except OSError as error:
            if not self._folder.is_dir():
                raise unlisted(self._folder, error) from error
            raise self._not_writable(error) from error
        if hung := self._session.place.behind:
            self._put_aside(hung)
            self._session.report(Place())  # a file that comes under its name is another one
        width, height = self._reader.size or (0, 0)
        return SourceInfo(width, height, self._fps, live=False)

    def read(self) -> Picture | None:
        """Return the next picture that is complete; None when there is none."""
        if not self._queue:
            self._queue.extend(self._look(time.monotonic()))
        if not self._queue:
            time.sleep(POLL_S)
            return None
        if not self._pacer.wait():
            return None
        return self._take(self._queue.popleft())

    def close(self) -> None:
        """Nothing is held."""

    # --- looking ---------------------------------------------------------------------------------

    def _look(self, now: float) -> list[Arrival]:
        try:
            mtime_ns = self._folder.stat().st_mtime_ns
            again = now >= self._list_again_mono
            if again or mtime_ns != self._folder_mtime_ns:
                present = self._list(kept=again)
                self._folder_mtime_ns = mtime_ns
            if again:
                took_s = time.monotonic() - now
                self._list_again_mono = now + max(LIST_AGAIN_S, took_s / LIST_SHARE)
        except OSError as error:
            raise unlisted(self._folder, error) from error
        if again and self._journal is not None:
            self._tidy(self._journal, present)
        return self._arrivals.look(self._stamps(), now)

    def _list(self, kept: bool) -> set[str]:
        """List the folder: 50,000 names take 20 ms, a look at each of them ten times that."""
        names = set(os.listdir(self._folder))  # noqa: PTH208
        read = self._journal.names if self._journal else frozenset()
        self._fresh = [name for name in names.difference(read) if is_picture_name(name)]
        if kept:
            self._kept = list(names.intersection(read))
        return names

    def _stamps(self) -> dict[str, Stamp]:
        """The unread files, and of those that were read a few at a time: they may have changed."""
        kept, start = self._kept, self._kept_next
        self._kept_next = (start + KEPT_A_LOOK) % max(1, len(kept))
        some = kept[start : start + KEPT_A_LOOK]
        found = {}
        for name in {*self._fresh, *some, *self._arrivals.names}:
            try:
                stat = (self._folder / name).stat()
            except OSError:  # gone meanwhile, or a link that leads to itself
                continue
            journal = self._journal
            read = journal is not None and journal.holds(name, stat.st_mtime_ns, stat.st_size)
            if S_ISREG(stat.st_mode) and not read:
                found[name] = Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        return found

    # --- one picture -----------------------------------------------------------------------------

    def _take(self, arrival: Arrival) -> Picture | None:
        path = self._folder / arrival.name
        self._session.report(Place(reading=arrival.name))
        picture = None
        try:
            picture = self._reader.read(path)
            whole = self._stamp(path) == arrival.stamp
        except FileNotFoundError:
            whole = False
        except PictureError as error:
            if isinstance(error.__cause__, OSError) and not path.exists():
                self._arrivals.done(arrival.name)
                return None
            if not arrival.last:
                return None  # it may not be whole
            self._put_aside(arrival.name)
            raise
        finally:
            self._session.report(Place())
        if not whole or picture is None:
            return None
        self._check_size(picture)
        if not self._finish(arrival.name, arrival.stamp):
            return None
        now, utc_ms = time.monotonic(), time.time_ns() // 1_000_000
        arrived_ms = utc_ms - int(1000 * (now - arrival.since))
        if arrival.backlog:
            arrived_ms = min(arrived_ms, arrival.stamp.ctime_ns // 1_000_000)
        return replace(
            picture,
            captured_utc_ms=arrived_ms,
            captured_mono=now,
            arrived_mono=now - max(0, utc_ms - arrived_ms) / 1000,
        )

    def _check_size(self, picture: Picture) -> None:
        """Another size than the first costs the picture; again and again, it is the new size."""
        size = picture.image.shape[1], picture.image.shape[0]
        self._size = self._size or size
        self._other_size = 0 if size == self._size else self._other_size + 1
        if self._other_size >= OTHER_SIZE:
            raise size_changed(str(self._folder), self._size, size)

    @staticmethod
    def _stamp(path: Path) -> Stamp:
        stat = path.stat()
        return Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _finish(self, name: str, stamp: Stamp) -> bool:
        """Do with a picture that was read what ``after`` says; false where another took it."""
        try:
            if self._journal is not None:
                self._journal.add(name, stamp.mtime_ns, stamp.size)
            elif self._after == "move":
                self._move(name, DONE)
            else:
                (self._folder / name).unlink()
        except FileNotFoundError:
            if not self._folder.is_dir():
                raise SourceError("not_found", f"{self._folder} is gone") from None
            return False
        except OSError as error:
            raise self._not_writable(error) from error
        finally:
            self._arrivals.done(name)
        return True

    def _put_aside(self, name: str) -> None:
        """A picture that cannot be read is not read again."""
        try:
            if self._journal is not None:
                stamp = self._stamp(self._folder / name)
                self._journal.add(name, stamp.mtime_ns, stamp.size)
            else:
                self._move(name, UNREADABLE)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._not_writable(error) from error
        finally:
            self._arrivals.done(name)

    def _move(self, name: str, into: str) -> None:
        target = self._folder / into
        target.mkdir(exist_ok=True)
        source, number = self._folder / name, 0

        def place(number: int) -> Path:
            return target / (f"{source.stem}-{number}{source.suffix}" if number else name)

        # Some software writes every picture under one name, so a try a number would take ever
        # longer: the numbers are doubled up to a free one, then halved down to the lowest.
        if place(0).exists():
            taken, number = 0, 1
            while place(number).exists():
                taken, number = number, 2 * number
            while number - taken > 1:
                middle = (taken + number) // 2
                taken, number = (middle, number) if place(middle).exists() else (taken, middle)
        source.rename(place(number))

    # --- what survives a restart -----------------------------------------------------------------

    def _open_journal(self, present: set[str]) -> Journal:
        state_dir = self._session.state_dir
        if state_dir is None:
            path = self._folder / f".pitwatch-{self._name}.journal"
        else:
            (state_dir / "watch").mkdir(parents=True, exist_ok=True)
            path = state_dir / "watch" / f"{self._name}.journal"
        journal = Journal(path)
        journal.load()
        if journal.damaged_lines:
            log_event(
                logger,
                logging.WARNING,
                "watch_journal_damaged",
                camera=self._name,
                lines=journal.damaged_lines,
            )
        journal.forget_all_but(present)
        path.touch()  # refused now, and not later
        return journal

    def _tidy(self, journal: Journal, present: set[str]) -> None:
        """Other software takes old files away, for months: their names must not pile up."""
        try:
            journal.forget_all_but(present)
        except OSError as error:
            raise self._not_writable(error) from error

    def _not_writable(self, error: OSError) -> SourceError:
        where = printable(str(error.filename or self._folder))
        need = "a journal of what was read" if self._after == "keep" else f"after={self._after}"
        return SourceError("not_writable", f"{where}: {error.strerror}, which {need} needs")
