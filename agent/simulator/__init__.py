"""A pitting machine's camera that needs no machine: pictures, ground truth, faults to inject.

``render`` draws one fruit or empty cup with its exact mask; ``machine`` is the timeline of what
passes under the camera; ``source`` makes both a camera for URLs of the scheme ``sim:``. Nothing
here needs torch, so that a capture child starts fast and small.
"""
