"""What the camera's own count of pictures says about those that never came. Pure."""

from __future__ import annotations

from collections import deque

RESTART_SHARE = 0.5
"""A count that went on by more than this share of its range went back: the camera began anew."""


class FrameIds:
    """Fed with the id of every buffer, complete or not, in the order of their coming."""

    def __init__(self) -> None:
        self._last: int | None = None

    def arrived(self, frame_id: int, first: int, last: int) -> int:
        """Return how many pictures between the one before and this one are missing.

        ``first`` and ``last``: the range of the count; behind ``last`` comes ``first`` again. An id
        that comes twice, or one before, is a count that began anew: nothing is known to be missing.

        >>> ids = FrameIds()
        >>> ids.arrived(65534, 1, 65535), ids.arrived(2, 1, 65535)
        (0, 2)
        """
        before, self._last = self._last, frame_id
        if before is None:
            return 0
        count = last - first + 1
        step = (frame_id - before) % count
        if frame_id < before and before - frame_id < RESTART_SHARE * count:
            return 0
        return max(0, step - 1)


class SoftwareTriggers:
    """Triggers that this program fired, and whether a picture came of each."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._fired: deque[float] = deque()

    @property
    def waiting(self) -> bool:
        """Whether a picture is still to come."""
        return bool(self._fired)

    def fired(self, now: float) -> None:
        self._fired.append(now)

    def pictures(self, count: int) -> None:
        """So many pictures were taken, whether they arrived or not."""
        for _ in range(min(count, len(self._fired))):
            self._fired.popleft()

    def lost(self, now: float) -> int:
        """Return how many triggers have had no picture in time, each once."""
        count = 0
        while self._fired and now - self._fired[0] > self._patience_s:
            self._fired.popleft()
            count += 1
        return count


class CountedTriggers:
    """A counter of the camera that counts all triggers, against the pictures that it took.

    It is read while pictures are on their way, so the difference swings: what stays of it over
    ``LOOKS`` looks is lost.
    """

    LOOKS = 6

    def __init__(self) -> None:
        self._behind: deque[int] = deque(maxlen=self.LOOKS)
        self._told = 0
        self._last: int | None = None

    def look(self, triggers: int, pictures: int) -> int:
        """Return how many more are lost. ``triggers``: the counter now; ``pictures``: taken since
        the first look. A counter that went back was reset: it counts from there."""
        behind = triggers - pictures
        if self._last is None or triggers < self._last:
            self._behind.clear()
            self._told = behind
        self._last = triggers
        self._behind.append(behind)
        # At the first look a picture may have been on its way: its trigger was counted already.
        self._told = min(self._told, behind)
        if len(self._behind) < self.LOOKS:
            return 0
        lost = min(self._behind) - self._told
        self._told += lost
        return lost


class NumberedTriggers:
    """The number of its trigger in each picture, against the count of pictures."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._taken = 0

    def arrived(self, number: int | None, taken: int) -> int:
        """Return how many triggers before this picture had none. ``number``: of the trigger, None
        where it is not in the picture; ``taken``: pictures since the one before, lost ones too."""
        self._taken += taken
        if number is None:
            return 0
        before, self._last = self._last, number
        taken, self._taken = self._taken, 0
        return 0 if before is None else max(0, number - before - taken)


class LostPictures:
    """Pictures that never came: for want of a buffer here, or on the way.

    A picture without a buffer is counted twice, by the driver and as a gap of the ids, in either
    order: what the driver counted is not counted again when its gap shows.
    """

    def __init__(self) -> None:
        self._unmatched = 0

    def divide(self, missing: int, underruns: int) -> dict[str, int]:
        """``missing`` by the ids, ``underruns`` by the driver, both since the last time; return the
        counts by reason, those of 0 left out."""
        self._unmatched += underruns
        matched = min(missing, self._unmatched)
        self._unmatched -= matched
        counts = {"transit": missing - matched, "underrun": underruns}
        return {reason: count for reason, count in counts.items() if count}
