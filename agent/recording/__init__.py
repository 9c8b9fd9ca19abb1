"""Pictures of fruit kept on the disk: which of them, and the thread that writes them."""
