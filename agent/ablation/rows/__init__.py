"""The sparse executor: runs the rest of a model on the rows that an ablation changes."""
