"""The wiring: the only part that knows all stages.

``run`` builds the stages from a configuration, connects them, and ends them in order. What flows::

    capture --frames--> LiveLoop --readings--> publisher
                           |  \\--readings--> AlarmLoop --alarms--> publisher
                           \\--candidates--> ExplainLoop --explanations--> AlarmLoop, publisher
"""

from agent.pipeline.runner import RunOptions, run

__all__ = ["RunOptions", "run"]
