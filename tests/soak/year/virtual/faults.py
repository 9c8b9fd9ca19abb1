"""Every fault that is planted in virtual time."""

from __future__ import annotations

from tests.soak.year.virtual import of_cameras, of_fruit, of_the_agent, of_the_broker, of_workers
from tests.soak.year.virtual.planting import Plantings

PLANTINGS: Plantings = {
    **of_cameras.PLANTINGS,
    **of_fruit.PLANTINGS,
    **of_workers.PLANTINGS,
    **of_the_broker.PLANTINGS,
    **of_the_agent.PLANTINGS,
}
