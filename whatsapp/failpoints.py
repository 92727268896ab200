"""Places where tests of faults end the process: ``RELANCE_FAILPOINT=intent.after-commit``.

A comma list of names; each kills this process with SIGKILL the first time it is reached. With a
file name after an ``@`` it does so once in all, whichever process gets there first and creates
the file. Unset, which is always outside `tests/`, the function does nothing at all.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def _armed(spec: str) -> Callable[[str], None]:
    names, _, marker = spec.partition("@")
    armed = set(names.split(","))

    def reached(name: str) -> None:
        if name not in armed:
            return
        if marker:
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
        os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _nothing(name: str) -> None:
    """Production: no fault is injected."""


_spec = os.environ.get("RELANCE_FAILPOINT", "")
failpoint: Callable[[str], None] = _armed(_spec) if _spec else _nothing
