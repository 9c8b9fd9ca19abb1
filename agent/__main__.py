"""``python -m agent`` is the ``pitwatch`` command."""

from agent.cli import main

if __name__ == "__main__":
    main()
