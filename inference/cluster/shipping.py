"""Files sent to a worker that does not see the client's folders, and its results sent back."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from inference.cluster.file import File
from inference.cluster.job import Job
from inference.reading.picture import LOST_PART, ImageError
from inference.running.claims import Claim, Claims
from inference.running.finding import Found
from inference.running.opened import Opened
from inference.running.provenance import Provenance

Content = tuple[str, bytes, int]  # name below the folder, content, time of change in ns


@dataclass(frozen=True)
class Parcel:
    """The files of a task.

    contents : of each file, or of all files in its folder
    tags : of the labels of each file's images, by the names of the label files: what they are made of, and of what they
        were made before; or why the image is not to be done
    """

    contents: tuple[tuple[Content, ...], ...]
    tags: Mapping[str, Provenance | str]


@dataclass(frozen=True)
class Results:
    """A file that was made: its name below the output folder, and its content."""

    name: str
    content: bytes


@dataclass(frozen=True)
class SentClaims(Claims):
    """What the client says of the files that it is to write."""

    tags: Mapping[str, Provenance | str] | None = None
    folder: Path = Path()

    def claim(
        self, file: Path, image: str, labels: Path, others: Mapping[str, Sequence[Path]], shape: tuple[int, ...]
    ) -> Claim:
        said = (self.tags or {}).get(str(labels.relative_to(self.folder)))
        if said is None:
            raise ValueError(f"{file.name}: could not be opened before it was sent; run it again")
        if isinstance(said, str):
            raise ValueError(said)
        return Claim(said, labels)


def pack_file(found: Found) -> tuple[Content, ...]:
    """The content of a file, or of a Zarr's folder."""
    path = found.path
    if not path.is_dir():
        return ((path.name, path.read_bytes(), path.stat().st_mtime_ns),)
    files = sorted(Path(base, name) for base, _, names in os.walk(path) for name in names)
    return tuple((str(f.relative_to(path.parent)), f.read_bytes(), f.stat().st_mtime_ns) for f in files)


def sent_alone(plane: Opened) -> Opened:
    """The plane; with an error of its own where parts of its file lie in others, which were not sent."""
    opened = plane.error is None or plane.digest
    if opened or LOST_PART not in str(plane.error):
        return plane
    reason = str(plane.error).split(";")[0]
    remedy = "each file is sent alone: use --dask-files shared, with folders that all workers see"
    return replace(plane, error=ImageError(f"{reason}; {remedy}"))


@contextmanager
def unpacked(
    job: Job, files: Sequence[File], parcel: Parcel | None
) -> Iterator[tuple[Job, Sequence[File], Callable[[], list[Results]]]]:
    """The files where a worker can read them, a job that writes beside them, and a function that collects what was
    written. Without a parcel all remain as they are.
    """
    if parcel is None:
        yield job, files, list
        return
    folder = Path(tempfile.mkdtemp(prefix="cellseg-"))
    try:
        moved = []
        for i, (file, content) in enumerate(zip(files, parcel.contents)):
            place = folder / f"in{i}"
            for name, data, changed in content:
                path = place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                os.utime(path, ns=(changed, changed))
            moved.append(replace(file, found=Found(place / file.found.path.name, file.found.folder)))
        out = folder / "out"
        out.mkdir()
        claims = SentClaims((), job.claims.version, job.claims.settings, True, False, parcel.tags, out)
        request = replace(job.request, folder=out, weights=job.weights, resume=False)

        def collect() -> list[Results]:
            written = sorted(path for path in out.rglob("*") if path.is_file())
            return [Results(str(path.relative_to(out)), path.read_bytes()) for path in written]

        yield replace(job, request=request, claims=claims), moved, collect
    finally:
        shutil.rmtree(folder, ignore_errors=True)
