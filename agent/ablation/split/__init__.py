"""A model cut in two at a layer: once up to it, once an ablation behind it."""
