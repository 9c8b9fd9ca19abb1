"""The networks: the built-in U-Net, loading any model safely, model cards, the shipped weights."""
