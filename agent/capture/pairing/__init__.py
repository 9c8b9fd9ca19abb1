"""Which word of the machine belongs to which picture."""
