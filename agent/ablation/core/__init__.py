"""The method: scores, regions, perturbations and their effects. Nothing here runs a model."""
