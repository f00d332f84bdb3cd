"""What a log may say of an unexpected exception: its type and where it was raised, never what it holds.

Messages of foreign errors and the arguments of calls may quote values of the state: no log holds these.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Final

__all__ = ["told_safely"]

_FRAMES: Final = 6
_CAUSES: Final = 3


def told_safely(error: BaseException) -> str:
    """Type and innermost frames (file, line, function) of an exception and of what caused it, on one line."""
    told, seen = [], error
    for _ in range(_CAUSES):
        frames = [
            f"{'/'.join(Path(frame.f_code.co_filename).parts[-2:])}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(seen.__traceback__)
        ]
        told.append(" < ".join([type(seen).__name__, *reversed(frames[-_FRAMES:])]))
        cause = seen.__cause__ or seen.__context__
        if cause is None:
            break
        seen = cause
    return ", from ".join(told)
