"""A new model without stopping: staged, audited, run in the shadow, promoted, taken back."""
