"""Measure what a Dask cluster on this machine costs and gains.

    python -m training.measure.cluster_scaling                                  # 10,000 tiny tasks, 1 and 2 workers
    python -m training.measure.cluster_scaling --images my_images --workers 1 2 # and a folder of images
    python -m training.measure.cluster_scaling --images my_images --send        # images sent instead of named

The first table is of tasks that do nothing, under names as long as those of images, with the arguments that an image
has: what the scheduler, its client, the workers and the network between them take for each, and how much of that is
processor time of scheduler and client, which are one process here. Bytes are what a task and its answer take on the
wire.

The second table is of what one worker does alone for an image that is split: nanoseconds of processor time a pixel for
the look at a gray and a coloured 8-bit image (contrast and overview; reading comes on top), and for writing the label
TIFF of crowded cells from the strips that the others made; and bytes a pixel of these strips.

The third table is of `predict.py --dask local:N` on a folder, started anew for each number of workers, without the
seconds until the first worker is there. It means something on an idle machine only; the first line names its load. The
networks are the shipped ones, or rigged ones with --encoder (training.measure.rigged).

Exit code: 0; 2 if nothing could be measured.
"""

import contextlib
import logging
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.cluster.connection import connected
from inference.cluster.file import File
from inference.image.forms import normalised_image
from inference.limits import Limits
from inference.outputs.label_rows import LabelRows, Strips
from inference.outputs.label_tiff import compressed, rows_of_strip, stored_type, write_label_tiff
from inference.running.finding import Found, images_in
from inference.running.report import ReportRow
from training.command import DONE, command, manual, positive
from training.measure.decoding import make_labels
from training.measure.launching import run_folder
from training.measure.machine import machine
from training.measure.rigged import DIAMETER, write_rigged_weights
from training.tables import text_table

if TYPE_CHECKING:
    from distributed import Client

    from inference.cluster.tasks import Done

log = logging.getLogger(__name__)

TASKS = 10_000


def tiny(number: str, files: list[File]) -> "Done":
    """A task that does nothing, with the arguments and the answer of a small image."""
    from inference.cluster.tasks import Done

    return Done([(files[0].place, ReportRow("done", str(files[0].name), cells=100))])


def wire_bytes(*objects: object) -> int:
    """Bytes of objects as Dask sends them."""
    from distributed.protocol import dumps

    return sum(len(frame) for thing in objects for frame in dumps(thing))


def overhead(client: "Client", count: int) -> dict:
    """Seconds and bytes of `count` tasks that do nothing."""
    from distributed import wait

    files = [File(i, Found(Path(f"/data/plate/well_{i:05d}.tif")), Path(f"well_{i:05d}")) for i in range(count)]
    began, before = time.perf_counter(), time.process_time()
    futures = [
        client.submit(tiny, "0", [file], key=("segment", f"{file.name} {began}", "0"), pure=False) for file in files
    ]
    submitted = time.perf_counter()
    wait(futures)
    done = time.perf_counter()
    answers = client.gather(futures)
    end, after = time.perf_counter(), time.process_time()
    return {
        "tasks": count,
        "submitted (s)": round(submitted - began, 2),
        "done (s)": round(done - began, 2),
        "answers (s)": round(end - done, 2),
        "ms a task": round(1000 * (end - began) / count, 3),
        "of scheduler and client": round(1000 * (after - before) / count, 3),
        "bytes there": wire_bytes([files[0]]),
        "bytes back": wire_bytes(answers[0]),
    }


def alone(side: int = 4096) -> dict:
    """Nanoseconds a pixel of what is not shared among workers."""
    numbers = {}
    for name, pixels in (("gray", noise(side)[..., 0]), ("colour", noise(side))):
        began = time.thread_time()
        assert normalised_image(pixels, Limits(whole_pixels=1)).overview.size, "it is made when it is asked for"
        numbers[f"look, {name} (ns)"] = round(1e9 * (time.thread_time() - began) / side**2, 1)
    labels = make_labels(side, 2 * (side // 64) ** 2)
    cells = int(labels.max())
    dtype = stored_type(cells)
    height = rows_of_strip(labels.shape, dtype)
    strips = [compressed(labels[top : top + height], dtype) for top in range(0, side, height)]
    rows = LabelRows.of_strips(Strips(dtype, height, strips), labels.shape, cells)
    with tempfile.TemporaryDirectory() as folder:
        began = time.thread_time()
        write_label_tiff(Path(folder, "labels.tiff"), [rows])
        numbers["labels written (ns)"] = round(1e9 * (time.thread_time() - began) / side**2, 2)
    numbers["strips (bytes)"] = round(sum(map(len, strips)) / side**2, 3)
    return numbers


def noise(side: int) -> np.ndarray:
    """A smooth coloured picture, (side, side, 3) uint8."""
    small = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def folder_run(images: Path, workers: int, more: list[str]) -> dict:
    """One start of the program on a folder."""
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        rows = run_folder(images, Path(out), "--dask", f"local:{workers}", *more)
        seconds = time.perf_counter() - began
        labels = sum(path.stat().st_size for path in Path(out).rglob("*_label.tiff"))
    busy = sum(float(row["seconds"]) for row in rows)
    return {
        "workers": workers,
        "images": len(rows),
        "seconds": round(seconds, 1),
        "of them start": round(seconds - busy / workers, 1),
        "seconds an image": round(busy / len(rows), 3),
        "images a second": round(workers * len(rows) / busy, 2),
        "label bytes an image": round(labels / len(rows)),
    }


@command
def main(argv: list[str] | None = None) -> int:
    parser = manual("training.measure.cluster_scaling", __doc__ or "")
    add = parser.add_argument
    add("--tasks", type=positive, default=TASKS, metavar="N", help=f"tiny tasks [{TASKS}]")
    add("--workers", type=positive, nargs="+", default=[1, 2], metavar="N", help="numbers of workers [1 2]")
    add("--images", type=Path, metavar="DIR", help="a folder of images to be segmented too")
    add("--send", action="store_true", help="send the images to the workers")
    add("--encoder", metavar="NAME", help="rigged networks of this encoder instead of the shipped ones")
    args = parser.parse_args(argv)
    print(machine())
    rows = []
    for workers in args.workers:
        with connected(f"local:{workers}", "cpu") as client:
            client.wait_for_workers(workers)
            client.submit(tiny, "0", [File(0, Found(Path("a")), Path("a"))]).result()  # imports
            rows.append({"workers": workers, **overhead(client, args.tasks)})
    print(text_table(rows))
    print(text_table([alone()]))
    if args.images:
        from inference.cluster.shipping import pack_file

        found = images_in(args.images)
        sent = [wire_bytes(pack_file(Found(path))) for path in found]
        print(f"{len(found)} images, {sum(sent) / len(sent):.0f} bytes each if they are sent")
        with contextlib.ExitStack() as stack:
            more = ["--dask-files", "send" if args.send else "shared"]
            if args.encoder:
                folder = Path(tempfile.mkdtemp(), "weights")
                stack.callback(shutil.rmtree, folder.parent)
                write_rigged_weights(folder, args.encoder)
                more += ["--weights", str(folder), "--route", "0", "--diameter", str(DIAMETER)]
            print(text_table([folder_run(args.images, workers, more) for workers in args.workers]))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
