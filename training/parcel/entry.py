"""What a parcel does when Python runs it: unpack itself, once, and hand on to `training.parcel.device`.

It stands in the parcel as __main__.py, alone, and therefore imports the standard library only. PARCEL_WORK names the
folder to unpack into; the default is one below the system's folder for temporary files.
"""

import hashlib
import os
import runpy
import sys
import tempfile
import time
import zipfile
from pathlib import Path


def unpack(parcel: Path, folder: Path) -> Path:
    """The folder with a parcel's content, below another one; it is complete, or it is not there."""
    with open(parcel, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = folder / f"parcel-{digest[:12]}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.part")
        with zipfile.ZipFile(parcel) as content:
            content.extractall(partial)
        partial.rename(target)
    return target


def main() -> None:
    os.environ["PARCEL_BEGAN"] = str(time.time())
    work = unpack(Path(sys.argv[0]), Path(os.environ.get("PARCEL_WORK", tempfile.gettempdir())))
    sys.path[0] = str(work)
    # Named, so that the loader's processes find their modules.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(work), *filter(None, [os.environ.get("PYTHONPATH")])])
    runpy.run_module("training.parcel.device", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
