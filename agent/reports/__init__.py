"""What ``pitwatch explain`` and ``pitwatch study`` make: figures, tables and pages."""
