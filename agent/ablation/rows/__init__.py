"""The sparse executor: of the part of a model behind a layer, only the pixels that are read."""
