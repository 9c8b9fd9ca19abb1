"""The thread that writes: everything that touches the disk or takes time is done here."""

from __future__ import annotations

import errno
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from agent import config
from agent.dataset import Facts, Reason, Record
from agent.dataset.claim import ClaimError
from agent.dataset.holdings import Quotas
from agent.dataset.shelf import DiskLowError, NoRoomError, Shelf
from agent.recording.choice import Choice
from agent.recording.status import Described, Drop, Holding
from agent.recording.waiting import Job, JobQueue
from agent.supervision.errands import Errands
from agent.telemetry import Clock, Telemetry, log_event

logger = logging.getLogger(__name__)

WAIT_S = 1.0
RETRY_S = 10.0
"""How often a disk that refuses is tried again."""
TIDY_S = 60.0
REMEMBERED = 512
"""Records whose explanation may still come."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def quotas_of(settings: config.Recording) -> Quotas:
    """The quotas of a configuration."""
    shares = {Reason(name): wanted.share for name, wanted in settings.wanted.items()}
    return Quotas(settings.limit_bytes, settings.age_s, shares)


class Writer:
    """Writes what is in ``jobs`` to the folder that it has. ``errands``: for what has to happen
    between two records."""

    def __init__(
        self,
        jobs: JobQueue,
        choice: Callable[[], Choice],
        described: Described,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self.errands = Errands(jobs.wake)
        self.shelf: Shelf | None = None
        self.paused: Drop | None = None
        self.detail = ""
        self.holding = Holding()
        self._jobs = jobs
        self._choice = choice
        self._described = described
        self._telemetry = telemetry
        self._clock = clock
        self._recent: OrderedDict[str, Record] = OrderedDict()
        self._open = False
        self._looked = False
        self._retry_mono = -math.inf
        self._tidy_mono = -math.inf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)

    # --- for other threads -----------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, and end; what is not written by then is lost with the process."""
        self._stopping.set()
        self._jobs.wake()
        if self._thread.is_alive():  # it may never have been started
            self._thread.join(timeout_s)

    def is_alive(self) -> bool:
        """Whether the thread runs, so that it can be sent on errands."""
        return self._thread.is_alive()

    # --- errands ---------------------------------------------------------------------------------

    def begin(self, shelf: Shelf) -> None:
        """Write to this folder from now on. ``ClaimError`` where it is another's; a disk that
        refuses is tried again later. An errand, or before the start."""
        if self.shelf is not None:  # an end that was not waited for
            self.shelf.close()
            self._open = False
        try:
            shelf.open()
            self._open = True
        except OSError as error:
            self._pause(_drop_of(error), str(error))
        self.shelf = shelf
        self._looked = False

    def begin_later(self, shelf: Shelf) -> None:
        """The same before the start: the thread opens it, and a disk that hangs holds up nobody."""
        self.shelf = shelf

    def end(self) -> None:
        """Write what waits, and leave the folder. An errand."""
        while (job := self._jobs.take(0.0)) is not None:
            self._do(job)
        if self.shelf is not None:
            self.shelf.close()
        self.shelf, self._open, self._looked = None, False, False
        self.holding = Holding()
        self.paused, self.detail, self._retry_mono = None, "", -math.inf
        self._recent.clear()

    def configure(self, settings: config.Recording) -> None:
        """Go by other quotas. An errand, or before the start."""
        if self.shelf is not None:
            self.shelf.configure(quotas_of(settings), settings.free_disk_bytes)
        self._tidy_mono = -math.inf

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            self.errands.run()
            try:
                self._attend()
            except Exception as error:  # the top of the thread: what it is for is tried again
                logger.exception("recording_failed", extra={"fields": {}})
                self._pause(Drop.ERROR, repr(error))
            job = self._jobs.take(0.0 if stopping else WAIT_S)
            if job is not None:
                self._do(job)
            elif stopping:
                break
        if self.shelf is not None:
            self.shelf.close()

    def _attend(self) -> None:
        """What is due beside records: a folder to be opened and looked through, old records."""
        shelf = self.shelf
        if shelf is None or self._clock() < self._retry_mono:
            return
        try:
            if not self._open:
                shelf.open()
                self._open = True
                self._resume()
            if not self._looked and not self._look_through(shelf):
                return  # somebody waits: it is begun again
            if self._clock() >= self._tidy_mono:
                self._tidy_mono = self._clock() + TIDY_S
                described = self._described
                now = described.utc_ms() if described.clock_is_right() else None
                self._removed(*shelf.tidy(now))
        except ClaimError as error:
            self._pause(Drop.FOLDER_TAKEN, str(error))
        except OSError as error:
            self._pause(_drop_of(error), str(error))

    def _look_through(self, shelf: Shelf) -> bool:
        self._looked = shelf.look_through(
            lambda: not self._stopping.is_set() and not self.errands.waiting
        )
        if not self._looked:
            return False
        if shelf.damaged:
            log_event(logger, logging.WARNING, "recordings_damaged", records=shelf.damaged)
        self._tell(shelf)
        return True

    def _do(self, job: Job) -> None:
        """One picture. Nothing that is wrong with it ends the thread or costs another."""
        lane, shelf = job.frame.lane, self.shelf
        if shelf is None or not self._may_write(shelf):
            if job.reasons:
                self.dropped(lane, self.paused or Drop.ERROR)
            return
        try:
            if job.explanation is None:
                self._keep(shelf, job, job.reasons)
            else:
                self._explain(shelf, job)
        except NoRoomError:
            self.dropped(lane, Drop.NO_ROOM)
        except DiskLowError as error:
            self.dropped(lane, Drop.DISK_FULL)
            self._pause(Drop.DISK_FULL, str(error))
        except OSError as error:
            self.dropped(lane, _drop_of(error))
            self._pause(_drop_of(error), str(error))
        except Exception as error:  # a fault of one picture must not cost the others
            self.dropped(lane, Drop.ERROR)
            logger.exception("record_failed", extra={"fields": {"error": repr(error)}})

    def _may_write(self, shelf: Shelf) -> bool:
        """Whether a picture is tried. While paused one is now and then, and ends the pause if it is
        kept: free space alone does not say that a disk takes anything."""
        if self.paused is None:
            return True
        try:
            return self._open and self._clock() >= self._retry_mono and shelf.has_room()
        except OSError:
            return False

    def _keep(self, shelf: Shelf, job: Job, reasons: tuple[Reason, ...]) -> None:
        """Its record, or what comes to the one that an explanation made before."""
        record = self._recent.get(job.frame.frame_id)
        if record is None:
            self._keep_new(shelf, job, reasons)
        else:
            self._recent[job.frame.frame_id] = shelf.explain(record, record.explanation, reasons)
        self._resume()

    def _keep_new(self, shelf: Shelf, job: Job, reasons: tuple[Reason, ...]) -> None:
        frame, seen = job.frame, job.fruit.segmentation
        variety, lot = self._described.running(frame.lane)
        told = job.explanation
        facts = Facts(
            camera=frame.lane,
            frame_id=frame.frame_id,
            captured_at=datetime.fromtimestamp(frame.captured_utc_ms / 1000.0, UTC),
            reasons=reasons,
            model=self._described.model_name(seen.model_sha256),
            model_sha256=seen.model_sha256,
            variety=seen.machine.variety or variety,
            lot=seen.machine.lot or lot,
            classes=seen.classes,
            reading=self._described.reading(job.fruit),
            explanation=None if told is None else self._described.explanation(told),
        )
        kept = shelf.keep(facts, frame.image, seen.mask, frame.aperture)
        self._removed(0, kept.removed)
        self._remember(frame.frame_id, kept.record)
        self._telemetry.count("recorded_pictures", camera=frame.lane, reason=kept.reason.value)
        self._tell(shelf)

    def _explain(self, shelf: Shelf, job: Job) -> None:
        """Beside the record that is there; one of its own where only the explanation is unusual."""
        assert job.explanation is not None
        record = self._recent.get(job.frame.frame_id)
        if record is not None:
            numbers = self._described.explanation(job.explanation)
            reasons = (Reason.EXPLAINED,) if job.unusual else ()
            try:
                self._recent[job.frame.frame_id] = shelf.explain(record, numbers, reasons)
            except FileNotFoundError:  # it has gone for another one meanwhile
                del self._recent[job.frame.frame_id]
        elif job.unusual and self._choice().take_explained(job.frame.lane, self._clock()):
            self._keep(shelf, job, (Reason.EXPLAINED,))

    def _remember(self, frame_id: str, record: Record) -> None:
        self._recent[frame_id] = record
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    # --- what is said of it ----------------------------------------------------------------------

    def dropped(self, lane: str, why: Drop) -> None:
        """Count a picture that was chosen and is not kept. For any thread."""
        self._telemetry.count("recordings_dropped", camera=lane, reason=why.value)

    def _removed(self, old: int, for_others: int) -> None:
        for reason, count in (("age", old), ("limit", for_others)):
            if count:
                self._telemetry.count("recordings_removed", count, reason=reason)
        if (old or for_others) and self.shelf is not None:
            self._tell(self.shelf)

    def _tell(self, shelf: Shelf) -> None:
        holdings = shelf.holdings
        self.holding = Holding(
            records=holdings.counts(),
            bytes=holdings.bytes_by_reason(),
            oldest_utc_ms=holdings.oldest_utc_ms() or 0,
            damaged=shelf.damaged,
            known=self._looked,
        )

    def _pause(self, why: Drop, detail: str) -> None:
        self._retry_mono = self._clock() + RETRY_S
        if self.paused is not why:
            log_event(logger, logging.WARNING, "recording_paused", reason=why.value, detail=detail)
        self.paused, self.detail = why, detail

    def _resume(self) -> None:
        if self.paused is not None:
            log_event(logger, logging.INFO, "recording_resumed", reason=self.paused.value)
        self.paused, self.detail, self._retry_mono = None, "", -math.inf


def _drop_of(error: OSError) -> Drop:
    return Drop.DISK_FULL if error.errno in _FULL else Drop.DISK_ERROR
