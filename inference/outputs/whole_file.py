"""Files that appear whole or not at all."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RIGHTS = 0o666  # less the umask
LEFTOVER = re.compile(r"\.[0-9a-f]{16}\.part")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place on success and disappears on failure.

    The name cannot be guessed, so that nobody can put a link in its place, and no two runs share it. The content is on
    the disk before it has the final name, also when the power fails.
    """
    partial = path.with_name(f".{secrets.token_hex(8)}.part")  # not longer than the final name may be
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), RIGHTS)
    try:
        with suppress(OSError):  # a system without locks: what is left by a killed run stays there
            _lock(file)
        yield partial
        os.fsync(file)
        os.replace(partial, path)
        with suppress(OSError):  # some systems do not do this for folders
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        os.close(file)
        partial.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that were killed; those that are being written are locked, and stay."""
    for partial in folder.glob(".*.part"):
        if not LEFTOVER.fullmatch(partial.name) or partial.is_symlink() or not partial.is_file():
            continue
        with suppress(OSError):  # locked, or another's
            file = os.open(partial, os.O_RDONLY)
            try:
                if _lock(file):
                    partial.unlink()
            finally:
                os.close(file)


def _lock(file: int) -> bool:
    """Whether locking worked. Raises OSError if somebody else has the lock."""
    if fcntl is None:
        return False
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True
