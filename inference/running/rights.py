"""Whose rights the program runs with."""

import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


def become_owner(folder: Path, needed: Iterable[Path] = ()) -> None:
    """As root, which is how a container starts, become the owner of the output folder for good.

    The label files then belong to him, and images from anywhere are not decoded with root's rights. Nothing happens
    where the folder is root's own, or where a container was started without the capability; and, with a warning, where
    the owner may not read what is `needed`: the program, its libraries and weights, as in a folder below root's home.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    out_of_reach = _unreadable([*needed, Path(__file__), *map(Path, filter(os.path.isdir, sys.path))], owner)
    if out_of_reach:
        log.warning(
            "running as root, whom the results will belong to: the owner of %s may not read %s; put the program "
            "where everybody may read it",
            folder,
            out_of_reach,
        )
        return
    with suppress(PermissionError):
        _become(owner)


def _become(owner: os.stat_result) -> None:
    os.setgroups([])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def _unreadable(paths: Iterable[Path], owner: os.stat_result) -> str:
    """The first of the paths that another user may not read; "" if he may read all. Asked in a process that becomes
    him.
    """
    answer, ours = os.pipe()
    process = os.fork()
    if not process:
        try:
            with suppress(PermissionError):
                _become(owner)
            found = next(
                (path for path in paths if not os.access(path, os.R_OK | (os.X_OK if os.path.isdir(path) else 0))), ""
            )
            os.write(ours, os.fsencode(found))
        finally:
            os._exit(0)
    os.close(ours)
    with os.fdopen(answer, "rb") as said:
        unreadable = said.read()
    os.waitpid(process, 0)
    return os.fsdecode(unreadable)
