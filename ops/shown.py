"""How paths, counts and tables are shown to people."""

from pathlib import Path

from rich.console import Console


def nearest(path: Path) -> str:
    """Return a path as it is shortest to read: relative where it lies below the working directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def counted(number: int, thing: str) -> str:
    """Return "1 task" or "3 tasks"."""
    return f"{number} {thing}" if number == 1 else f"{number:,} {thing}s"


def console() -> Console:
    """Return the terminal; in a pipe there is no width to fit to, and a cut-off run id helps nobody."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=200)
