"""Training and evaluating the segmentation network, on simulated fruit, pictures with masks, or both."""
