"""SHA256SUMS beside the checkpoints, as sha256sum writes and checks it."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

SUMS_FILE = "SHA256SUMS"
LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^/\s]+)")
REMEDY = f"fetch the weights again; for networks of your own: sha256sum *.safetensors > {SUMS_FILE}"


class CheckpointError(ValueError):
    """A weights file, or their list of checksums, that is missing, damaged or of another program. The message names it
    and the remedy.
    """


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """The list for those of the files that are there."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in sorted(names) if (folder / name).exists()]
    target = folder / SUMS_FILE
    target.write_text("".join(lines), encoding="utf-8")
    target.chmod(0o644)


def read_checksums(folder: Path) -> dict[str, str]:
    """Name of each file -> its sum. Raises CheckpointError if there is no list, or a line of another kind in it."""
    path = folder / SUMS_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error}), and without it damaged weights would not be noticed; {REMEDY}"
        ) from None
    sums = {}
    for number, line in enumerate(lines, start=1):
        found = LINE.fullmatch(line.rstrip())
        if found:
            sums[found["name"]] = found["digest"]
        elif line.strip():
            raise CheckpointError(f"{path}: line {number} is not a checksum and the name of a file; {REMEDY}")
    return sums


def check_listed(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """As `read_checksums`; raises CheckpointError if one of the files is not in the list, too."""
    sums = read_checksums(folder)
    if missing := [name for name in names if name not in sums]:
        raise CheckpointError(f"{folder / SUMS_FILE}: no line for {', '.join(missing)}; {REMEDY}")
    return sums


def check_file(path: Path) -> None:
    """Raise CheckpointError if a file is not the one in the list beside it. A file without a list, as of a training,
    passes.
    """
    if not path.with_name(SUMS_FILE).exists():
        return
    listed = check_listed(path.parent, [path.name])[path.name]
    if sha256(path) != listed:
        raise CheckpointError(
            f"{path}: damaged or another weights file (its sha256 is not the one in {SUMS_FILE}); {REMEDY}"
        )


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
