"""How a command ends: one line that a user can act on, and an exit code.

Importing this module loads no network library.
"""

from __future__ import annotations

from collections.abc import Callable

EXIT_OK, EXIT_FAILED, EXIT_CONFIGURATION = 0, 1, 78


class OptionError(Exception):
    """Something asked for that is not there; the message names what there is."""


def exit_code(command: str, work: Callable[[], bool]) -> int:
    """Do ``work``; 0 when it returns True, 1 when it returns False.

    What a user got wrong is said in one line on stderr that begins with ``command``: 78 for an
    option, model, layer or class that is not there, 1 for a file or a picture that failed.
    """
    from rich.console import Console

    from agent.ablation.core.errors import AblationError
    from agent.models.errors import ModelError

    try:
        return EXIT_OK if work() else EXIT_FAILED
    except (OptionError, ModelError) as error:
        code, message = EXIT_CONFIGURATION, str(error)
    except OSError as error:
        code = EXIT_FAILED
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except AblationError as error:
        code, message = EXIT_FAILED, str(error)
    errors = Console(stderr=True)
    errors.print(f"{command}: {message}", markup=False, highlight=False, soft_wrap=True)
    return code
