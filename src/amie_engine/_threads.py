"""What reaches one thread alone."""

from __future__ import annotations

import threading

__all__ = ["is_ctrl_c"]


def is_ctrl_c(error: BaseException) -> bool:
    """Tell whether what a site's function raised is the Ctrl-C of somebody who wants to end it all.

    The function has done nothing wrong then. It reaches the main thread and no other: elsewhere, the function
    itself has raised it.
    """
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
