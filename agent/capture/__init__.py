"""Camera to Frame: sources, the capture child of each, and the watch over them."""
