"""The method: scores, regions, perturbations and their effects.

Of the model, only the plain prediction of a picture is computed here (``case``).
"""
