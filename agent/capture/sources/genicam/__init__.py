"""Machine cameras of the GenICam standard: ``genicam://serial/40012345`` and its other forms."""
