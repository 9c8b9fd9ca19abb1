"""Workers without processes: what each would answer, and how it would fail, on a made clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.ablation.pool.messages import Beat, Done, Failed, Ready, StartFailed
from agent.ablation.pool.placement import Placement
from agent.ablation.pool.shared_image import SharedImageError
from agent.ablation.pool.slot import WorkerContext
from agent.records import Explanation, Selection
from agent.supervision.child import ChildGone
from agent.supervision.survivors import Survivors

Explain = Callable[[Selection], Explanation]
MIB = 1 << 20


@dataclass(slots=True)
class WorkerLife:
    """What workers do at present.

    ``starts``: empty, ``never`` (no word), ``dies`` or a ``StartFailed``. ``job``: empty, ``dies``,
    ``hangs`` (no beat), ``late`` (beats, and no answer), ``picture`` or the reason of a failure;
    ``fatal``: it cannot be trusted after that. ``idle``: empty, ``dies`` or ``hangs``.
    """

    starts: str | StartFailed = ""
    job: str = ""
    fatal: bool = False
    idle: str = ""
    rss_mib: int = 200
    seconds: float = 0.5
    ready_after_s: float = 1.0
    born: int = field(default=0)


class PretendWorker:
    """Stands in for ``WorkerProcess``."""

    pid = 0

    def __init__(
        self, _where: Placement, _context: WorkerContext, workers: Workers, now: float
    ) -> None:
        self._workers, self._since = workers, now
        self._ready = self._gone = False
        self._job: tuple[Selection, float] | None = None
        workers.life.born += 1

    def fileno(self) -> int:
        return -1

    def receive(self) -> list[object]:
        """What it would have said by now."""
        life, now, rss = self._workers.life, self._workers.mono(), self._workers.life.rss_mib * MIB
        if self._gone:
            raise ChildGone("worker")
        if not self._ready:
            return self._starting(now, rss)
        if self._job is None:
            if life.idle == "dies":
                raise ChildGone("worker")
            return [] if life.idle == "hangs" else [Beat(rss, "idle")]
        selection, since = self._job
        if life.job == "dies":
            raise ChildGone("worker")
        if life.job == "hangs":
            return []
        if life.job == "late" or now - since < life.seconds:
            return [Beat(rss, "job")]
        self._job = None
        if life.job:
            return [Failed(selection.job_id, life.job, "planted", rss, life.fatal)]
        return [Done(self._workers.explain(selection), rss)]

    def _starting(self, now: float, rss: int) -> list[object]:
        life = self._workers.life
        if isinstance(life.starts, StartFailed):
            self._gone = True
            return [life.starts]
        if life.starts == "dies":
            raise ChildGone("worker")
        if life.starts == "never":
            return [Beat(rss, "start")]
        if now - self._since < life.ready_after_s:
            return [Beat(rss, "start")]
        self._ready = True
        return [Ready(1.0, rss)]

    def give(self, selection: Selection) -> None:
        """Take a job; ``SharedImageError`` where its picture cannot be handed over."""
        if self._workers.life.job == "picture":
            raise SharedImageError("no room in shared memory")
        self._job = selection, self._workers.mono()

    def end(self, _survivors: Survivors) -> str:
        self._gone = True
        return "killed by SIGKILL"


class Workers:
    """How all of them live, and what they explain."""

    def __init__(self, mono: Callable[[], float], explain: Explain) -> None:
        self.life = WorkerLife()
        self.mono = mono
        self.explain = explain

    def launch(self, where: Placement, context: WorkerContext) -> PretendWorker:
        """In the place of ``WorkerProcess``."""
        return PretendWorker(where, context, self, self.mono())
