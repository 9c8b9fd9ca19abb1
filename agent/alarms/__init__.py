"""Streams of numbers -> conditions -> the life cycle of alarms.

``watch`` turns what the stages say into ``Condition`` values, ``book`` turns these into ``Alarm``
records after the edges of ``lifecycle``. Everything here is pure: it is fed the time, keeps no
thread and sends nothing.
"""
