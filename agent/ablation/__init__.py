"""Frame and model in, explanation out: activation maps are ablated and the drop of a score is read.

Nothing heavy is imported here, so that a worker can pin its GPU before torch is loaded.
"""
