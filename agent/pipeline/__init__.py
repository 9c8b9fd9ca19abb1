"""The wiring: the only part that knows all stages.

``build`` makes the stages from a configuration, ``agent`` starts, joins and ends them, ``runner``
waits for a reason to stop, ``reload`` has another configuration taken over meanwhile. What flows,
where the sinks are the JSON topics and Sparkplug::

    capture --frames--> LiveLoop --readings--> sinks
                           |  \\--readings--> AlarmLoop --alarms--> sinks
                           \\--candidates--> ExplainLoop --explanations--> AlarmLoop, sinks
"""

from agent.pipeline.runner import RunOptions, run

__all__ = ["RunOptions", "run"]
