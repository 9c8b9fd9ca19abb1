"""Training on the line's own pictures: where they came from, and which are held out."""
