"""Pictures of the line to labelling tools, and their labels back."""
