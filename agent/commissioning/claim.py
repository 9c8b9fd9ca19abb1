"""What a reference claims, in words. Pure."""

from __future__ import annotations

from agent.alarms.charts.budget import Budget
from agent.alarms.charts.lots import inflation
from agent.commissioning import conditional
from agent.commissioning.conditional import ConditionalRun
from agent.commissioning.design import Designed


def claim(made: Designed, budget: Budget, run: ConditionalRun | None) -> str:
    """What the limits are made for, and how far the samples bear it out. ``run``: None where lots
    are too short to tell."""
    return " ".join(
        (
            f"Designed for one false alarm in {budget.days * budget.margin:g} production days of "
            f"{budget.hours_a_day:g} h over all charts and rules of {budget.lanes} lane(s), where "
            f"one in {budget.days:g} is allowed.",
            *_widened(made, budget),
            f"From {made.lots} lots the spread between lots is taken at "
            f"{inflation(made.lots):.2f} times its estimate (upper 90 % bound). {made.windows} "
            f"windows reach quantiles of about 1 in {made.windows}; one in {made.run_length:.3g} "
            "is the normal tail of the model. Holds for lots like these.",
            *_conditional(budget, run),
        )
    )


def _widened(made: Designed, budget: Budget) -> list[str]:
    times = made.run_length / budget.arl(sum(len(signal.sides) for signal in made.signals))
    if times <= 1.0:
        return []
    return [
        f"Each chart is given {significant(times, 2)} times the run length of its share, since the "
        "sample may have come out narrower than the line is."
    ]


def _conditional(budget: Budget, run: ConditionalRun | None) -> list[str]:
    if run is None:
        return ["Lots are too short to tell how much hangs on the sample: no limit is widened."]
    low, median, high = (significant(days, 1) for days in run)
    words = [
        f"Charts made of samples like this one run about {median} production days between two "
        f"false alarms; one sample in twenty makes that {low} or less, one {high} or more "
        f"({conditional.SAMPLES} samples of the fitted model)."
    ]
    if run.low_days < budget.days:
        words.append(
            f"More than one sample in twenty breaks the budget of {budget.days:g} days: more lots "
            "make it hold."
        )
    return words


def significant(value: float, digits: int) -> str:
    """``value`` above 0 to so many digits, without a power of ten."""
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if rounded >= 10 ** (digits - 1) else f"{rounded:g}"
