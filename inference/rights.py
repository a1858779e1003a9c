"""Whose rights the program runs with."""

import os
from contextlib import suppress
from pathlib import Path


def become_owner(folder: Path) -> None:
    """As root, which is how a container starts, become the owner of the output folder for good.

    The label files then belong to him, and images from anywhere are not decoded with root's rights. Nothing happens where
    the folder is root's own, or where a container was started without the capability.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    with suppress(PermissionError):
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
