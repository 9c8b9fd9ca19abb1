"""Streams of numbers -> conditions -> the life cycle of alarms.

``watch`` turns the stages' reports into ``Condition`` values. ``lifecycle.manager`` turns these
into ``Alarm`` records, after the edges of ``lifecycle.lifecycle``. Everything here is pure: it is
fed the time, keeps no thread and sends nothing.
"""
