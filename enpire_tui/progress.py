"""A progress bar on a terminal, nothing elsewhere."""

import contextlib
import sys
from collections.abc import Callable, Generator

Advance = Callable[[str, int], None]
"""Takes what to show beside the bar, and how many steps were done."""


@contextlib.contextmanager
def bar(total: int, *, quiet: bool) -> Generator[Advance, None, None]:
    """Shows how far something is, on standard error.

    Args:
        total: Steps in all.
        quiet: Show nothing, terminal or not.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _text, _steps: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda text, steps: progress.update(task, advance=steps, description=text)
