"""Training and evaluating the network on simulated fruit, pictures with masks, or both."""
