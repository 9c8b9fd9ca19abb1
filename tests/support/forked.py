"""Many command lines of ``pitwatch`` for the price of one: what they import is loaded once.

One process imports what ``pitwatch run`` imports and forks for each command, which is as alone
then as in a process of its own. It has no thread when it forks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EACH_S = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of a command, as of ``subprocess.run``."""

    returncode: int
    stdout: str
    stderr: str


def forked_commands(folder: Path, commands: Sequence[Sequence[str]]) -> list[Ended]:
    """Run ``pitwatch`` with the arguments of each of ``commands``, one after the other."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.forked", str(folder), json.dumps(commands)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=EACH_S * (1 + len(commands)),
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)
    return [
        Ended(code, *((folder / f"{i}.{name}").read_text() for name in ("out", "err")))
        for i, code in enumerate(codes)
    ]


def _run(out: Path, err: Path, arguments: list[str]) -> None:
    """In the fork; never returns."""
    code = 1
    try:
        signal.alarm(EACH_S)  # ends it where it hangs
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), number)
        sys.argv = ["pitwatch", *arguments]
        from agent.cli import main

        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - the top of the process
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main() -> None:
    import agent.pipeline.agent  # noqa: F401 - once for all that are forked

    folder, commands = Path(sys.argv[1]), json.loads(sys.argv[2])
    codes = []
    for i, arguments in enumerate(commands):
        pid = os.fork()
        if pid == 0:
            _run(folder / f"{i}.out", folder / f"{i}.err", arguments)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(json.dumps(codes))


if __name__ == "__main__":
    _main()
