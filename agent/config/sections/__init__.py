"""The sections of the configuration: a module each, named as its key is, rules included."""
