"""The client's side of files that are sent: what of them is to be done, and results that come back."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from inference.cluster.asking import Asking
from inference.cluster.file import File
from inference.cluster.job import Job
from inference.cluster.shipping import Parcel, Results, pack_file
from inference.cluster.tasks import Done, Entries, make_run
from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.outputs.whole_file import whole_file
from inference.reading.safe_reading import SafeReader
from inference.running.claims import Claim, Claims, NotOurs
from inference.running.messages import collected_warnings
from inference.running.opened import Opened
from inference.running.report import ReportRow


@dataclass(frozen=True)
class _Recorded(Claims):
    """Claims that are kept: by the name of the label file, or why there is none."""

    found: dict[str, Claim | str] = field(default_factory=dict)
    folder: Path = Path()

    def claim(
        self, file: Path, image: str, labels: Path, others: Mapping[str, Sequence[Path]], shape: tuple[int, ...]
    ) -> Claim:
        name = str(labels.relative_to(self.folder))
        try:
            self.found[name] = claim = super().claim(file, image, labels, others, shape)
        except NotOurs as error:
            self.found[name] = str(error)
            raise
        return claim


class Sender:
    """Looks at each file before it is sent, and writes what comes back.

    Files are opened here for their digests and the names of their images; their pixels are not read.
    """

    def __init__(self, job: Job):
        self.job, self.reader = job, SafeReader(job.request.read_limits)
        own = job.claims
        self._claims = _Recorded(
            own.inputs, own.version, own.settings, own.overwrite, own.resume, {}, job.request.folder
        )

    def prepare(self, files: Sequence[File]) -> tuple[list[File], Done]:
        """The files that are to be sent, and what became of those that need not be."""
        todo, done = [], Done()
        for file in files:
            page = Entries(file)
            rows = self._known(file, page)
            if rows is None:
                todo.append(file)
                continue
            done.rows.extend(((file.place, number), row) for number, row in enumerate(rows))
            done.entries.extend(page.entries)
        return todo, done

    def _known(self, file: File, page: Entries) -> list[ReportRow] | None:
        """The lines of a file that needs no worker: an earlier run has left all its images complete, or it cannot be
        opened. None for any other.
        """
        run = make_run(self.job, [file], Asking(), page)
        run.claims = self._claims
        rows = []
        try:
            images, digest = self.reader.open_images(file.found.path, self.job.request.reading)
        except Exception as error:
            return [run.failed(Opened(file.found), error)]
        for number, image in enumerate(images):
            first = Opened(file.found, number, len(images), 0.0, None, image, image.views[0], digest)
            page.number = number
            with collected_warnings(), suppress(Exception):  # the worker meets it too, and says what it is
                rows.append(run.image(first, iter(()), [], lambda total: None))
        return rows if len(rows) == len(images) else None

    def parcel(self, files: Sequence[File]) -> Parcel:
        """The content of some files, and what their labels are made of."""
        tags = {name: said if isinstance(said, str) else said.tag for name, said in self._claims.found.items()}
        names = {str(file.name) for file in files}
        own = {name: tag for name, tag in tags.items() if any(name.startswith(stem) for stem in names)}
        return Parcel(tuple(pack_file(file.found) for file in files), own)

    def write(self, results: Sequence[Results]) -> None:
        """Write files that were made: labels first, so that what is there beside them is made of them."""
        for result in sorted(results, key=lambda result: not result.name.endswith(LABEL_SUFFIX)):
            path = self.job.request.folder / result.name
            path.parent.mkdir(parents=True, exist_ok=True)
            claim = self._claims.found.pop(result.name, None)
            if isinstance(claim, Claim):
                claim.clear()
            with whole_file(path) as partial:
                partial.write_bytes(result.content)
