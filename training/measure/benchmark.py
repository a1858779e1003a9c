"""Time a command as the challenge's organiser does: started anew for every image, stopwatch on from start to exit.

    python -m training.measure.benchmark --paper-sizes --cells data/val/monuseg --csv times.csv --plot times.png
    python -m training.measure.benchmark --sizes 640x480 2000x1500 --look gray --repeat 3
    python -m training.measure.benchmark --images my_images
    python -m training.measure.benchmark --images my_images --throughput
    python -m training.measure.benchmark --sizes 640x480 --repeat 7 --before ../8463c2e
    python -m training.measure.benchmark --paper-sizes --encoder convnext_small
    python -m training.measure.benchmark --paper-sizes \\
        --command "docker run --rm -v {input}:/inputs -v {output}:/outputs cellseg"

Images are your own (--images), or are made in the five sizes of the paper's Table 5 (--paper-sizes) or in others
(--sizes, width x height): crops of real cells sewn together (training.measure.mosaic), from --cells, one of its
sub-folders drawn by --seed, or from tests/images, which have only one image of each --look.

In --command {input} stands for a folder with the one image, {output} for an empty folder, {report} for the file
report.json in that folder, to be written as `predict.py --report` does (in a container: /outputs/report.json), {python}
for this Python. A start succeeds if the exit code is 0 and the output folder holds a label TIFF of the image's size,
named as the challenge wants it.

The table, times in seconds:

    tolerance, real, over   what the challenge allows, what the command took, and how much of that was out of tolerance
    peak MB                 memory of the largest of the command's processes; a container's is unknown
    start+imports           real time less what the report accounts for: start of the container, Python, imports, exit
    read ... write          the report's stages; stages that run at the same time add up to more than the real time

With --encoder the program runs with untrained networks of that size, rigged to find cells (training.measure.rigged), in
place of the shipped ones. Their cells mean nothing and cannot be measured: the image is segmented at its own size. In a
--command of your own {weights} stands for the folder of these networks.

With --before the predict.py of another version's folder, with the weights there, is started in turn with the command's
own, image by image and run by run, so that what else the machine does slows both. Columns "before", its real time, and
"ratio", real over before, are added; both times are medians of their own.

With --repeat the run with the median real time is shown, or a failed one if any failed; --csv has a line for each run.
With --throughput the command is started once for all images, and {input} is the folder of them all. The times count
only on an idle machine: the table names its load before the first start. The first start after booting takes longer,
nothing being in the disk cache then.

Runs on Linux and macOS. Exit code: 0; 1 if an image failed or a second is out of tolerance; 2 if nothing could be
measured.
"""

import argparse
import logging
import math
import re
import shutil
from pathlib import Path

import numpy as np
import tifffile

from inference.outputs.label_tiff import BIG_TIFF_BYTES, TILE, cut_tiles
from inference.reading import open_image
from inference.running.finding import images_in
from inference.running.report import TOLERANCE_PIXELS, time_tolerance
from training.command import DONE, PARTLY, command, manual, positive
from training.measure.launching import (
    DEFAULT_COMMAND,
    PROGRAM,
    ROOT,
    Launch,
    image_record,
    launch,
    program_before,
    split_command,
    work_folder,
)
from training.measure.machine import machine
from training.measure.mosaic import LOOKS, image_rows, read_cells
from training.measure.plots import import_pyplot, plot_file
from training.tables import text_table, write_table

log = logging.getLogger(__name__)

ENCODER_COMMAND = DEFAULT_COMMAND + " --weights {weights} --route 0 --diameter 28"
PAPER_SIZES = ((480, 640), (944, 1266), (2048, 2048), (3000, 3000), (8415, 10496))  # Table 5; (height, width)


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of "640x480", which is width x height as in the paper."""
    match = re.fullmatch(r"([1-9]\d*)[xX*]([1-9]\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; expected WIDTHxHEIGHT in pixels, such as 640x480")
    return int(match[2]), int(match[1])


def folder_record(images: dict[Path, tuple[int, int]], run: Launch) -> dict:
    """The line of the table for many images in one process."""
    megapixels = sum(height * width for height, width in images.values()) / 1e6
    return {
        "images": len(images),
        "Mpx": megapixels,
        "real": run.seconds,
        "images/s": len(images) / run.seconds,
        "Mpx/s": megapixels / run.seconds,
        "peak MB": run.peak_mb,
        **run.stages,
        "failure": run.failure,
    }


def compared(record: dict, before: list[Launch]) -> dict:
    """A line of the table with the time of the other version, if one was started."""
    for run in before:
        failure = record["failure"] or (run.failure and f"before: {run.failure}")
        record = record | {"before": run.seconds, "ratio": record["real"] / run.seconds, "failure": failure}
    return record


def typical(records: list[dict]) -> dict:
    """Of several runs the one with the median real time (the faster of the middle two), or a failed one if any failed;
    with the median time of the other version.
    """
    failed = [r for r in records if r["failure"]]
    if failed:
        return failed[0]
    middle = (len(records) - 1) // 2
    shown = sorted(records, key=lambda r: r["real"])[middle]
    if "before" not in shown:
        return shown
    before = sorted(r["before"] for r in records)[middle]
    return shown | {"before": before, "ratio": shown["real"] / before}


def words_before(words: list[str], folder: Path) -> list[str]:
    """The command's words with the predict.py of another version's folder in place of its own.

    Raises ValueError if the folder has none, or the command does not name one.
    """
    program = program_before(folder)
    if not any(Path(word).name == PROGRAM for word in words):
        raise ValueError(f"--before needs a --command that starts {PROGRAM}, which it exchanges; leave one of them out")
    return [str(program.resolve()) if Path(word).name == PROGRAM else word for word in words]


def write_plot(path: Path, records: list[dict], title: str) -> None:
    """Real time against pixels on logarithmic axes, with the time tolerance, and the peak memory where it is known;
    failed images are left out."""
    done = sorted((r["Mpx"], r["real"]) for r in records if not r["failure"])
    memory = sorted((r["Mpx"], r["peak MB"]) for r in records if not r["failure"] and r["peak MB"] is not None)
    sizes = sorted({r["Mpx"] for r in records} | {TOLERANCE_PIXELS / 1e6})
    with plot_file(path, title, 2 if memory else 1, 13 if memory else 7) as (axes, *beside):
        allowed = [time_tolerance(1, round(size * 1e6)) for size in sizes]
        axes.loglog(sizes, allowed, "--", color="tab:red", label="time tolerance")
        if done:
            axes.loglog(*zip(*done), "o", color="tab:blue", label="real time, cold start included")
        axes.set(xlabel="size of the image in megapixels", ylabel="seconds")
        axes.legend()
        for panel in beside:
            panel.semilogx(*zip(*memory), "o-", color="tab:green")
            panel.set(xlabel="size of the image in megapixels", ylabel="peak memory in MB", ylim=(0, None))


def make_images(args: argparse.Namespace, folder: Path) -> None:
    """Write an image of each size and look to a new folder, as TIFF in tiles, which is read by region where it is
    large.
    """
    folder.mkdir()
    for look in LOOKS if args.look == "both" else (args.look,):
        sources, place = read_cells(args.cells, look, args.seed)
        for height, width in args.sizes:
            path = folder / f"{look}_{width}x{height}.tif"
            log.info("making %s from %d images of %s", path.name, len(sources), place)
            shape = height, width, *sources[0].shape[2:]
            tiles = cut_tiles(image_rows(sources, height, width, args.seed), np.uint8)
            tifffile.imwrite(
                path,
                tiles,
                shape=shape,
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="zlib",
                metadata=None,
                photometric="rgb" if len(shape) == 3 else "minisblack",
                bigtiff=math.prod(shape) > BIG_TIFF_BYTES,
            )


def measure(args: argparse.Namespace, commands: list[list[str]], work: Path) -> list[list[dict]]:
    """Records of all runs: a list for each image, or one list with --throughput. The words of the command come first,
    then those of the other version, if there is one.
    """

    def start(source: Path, images: dict[Path, tuple[int, int]], folder: Path) -> tuple[Launch, list[Launch]]:
        places = folder, folder.with_name(f"{folder.name}-before")
        own, *before = [launch(words, source, images, place) for words, place in zip(commands, places)]
        return own, before

    source = args.images
    if source is None:
        source = work / "images"
        make_images(args, source)
    images = {path: open_image(path).shape for path in images_in(source)}
    if args.throughput:
        runs = [start(source, images, work / f"run{n}") for n in range(args.repeat)]
        return [[compared(folder_record(images, own), before) for own, before in runs]]
    measured = []
    for path, shape in images.items():
        alone = work / path.name
        (alone / "in").mkdir(parents=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, alone / "in" / path.name)
        runs = []
        for n in range(args.repeat):
            run, before = start(alone / "in", {path: shape}, alone / f"run{n}")
            runs.append(compared(image_record(path.name, shape, run), before))
            log.info(
                "%s, run %d of %d: %.2f s%s%s",
                path.name,
                n + 1,
                args.repeat,
                run.seconds,
                "".join(f", before {other.seconds:.2f} s" for other in before),
                ", failed" if runs[-1]["failure"] else "",
            )
        measured.append(runs)
    return measured


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.benchmark", __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--paper-sizes",
        dest="sizes",
        action="store_const",
        const=PAPER_SIZES,
        help="make images of " + ", ".join(f"{w}x{h}" for h, w in PAPER_SIZES),
    )
    source.add_argument("--sizes", type=parse_size, nargs="+", metavar="WxH", help="make images of these sizes")
    source.add_argument("--images", type=Path, metavar="IN", help="a folder of images to use as they are")
    add = parser.add_argument
    add(
        "--cells",
        type=Path,
        default=ROOT / "tests/images",
        metavar="DATA",
        help="manifest (lines with split val) or folder of real cells to make images from [tests/images]",
    )
    add(
        "--look",
        choices=(*LOOKS, "both"),
        default="colour",
        help="of images made; gray: one channel, as fluorescence [colour]",
    )
    add("--seed", type=int, default=0, help="of images made [0]")
    add("--command", help=f"what to time [{DEFAULT_COMMAND}]")
    add("--encoder", metavar="NAME", help="a ConvNeXt of timm: time it with untrained networks [the shipped networks]")
    add("--before", type=Path, metavar="DIR", help="folder of another version of the program, to be timed in turn")
    add("--repeat", type=positive, default=1, metavar="N", help="runs for each image [1]")
    add("--throughput", action="store_true", help="one start for all images: images and megapixels per second")
    add("--csv", type=Path, metavar="FILE", help="write all runs there")
    add(
        "--plot",
        type=Path,
        metavar="FILE",
        help="write a plot of time and memory against pixels there (.png, .svg or .pdf)",
    )
    add("--keep", type=Path, metavar="DIR", help="keep images, labels and logs in this new folder")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    args.command = args.command or (ENCODER_COMMAND if args.encoder else DEFAULT_COMMAND)
    words = split_command(args.command)
    commands = [words, words_before(words, args.before)] if args.before else [words]
    if ("{weights}" in args.command) != bool(args.encoder):
        raise ValueError("{weights} in --command stands for the networks that --encoder makes: give both, or neither")
    if args.plot:
        if args.throughput:
            raise ValueError("--plot shows single images; leave it out with --throughput")
        import_pyplot()  # now, not after an hour of measuring
    place = machine()
    with work_folder(args.keep) as work:
        if args.encoder:
            from training.measure.rigged import write_rigged_weights  # late: imports torch, and may import timm

            write_rigged_weights(work / "weights", args.encoder)
            weights = str((work / "weights").resolve())
            commands = [[word.replace("{weights}", weights) for word in words] for words in commands]
        measured = measure(args, commands, work)
    shown = [typical(runs) for runs in measured]
    print(f"machine: {place}\ncommand: {args.command}\n\n{text_table(shown)}")
    if args.csv:
        write_table(args.csv, [record for runs in measured for record in runs], digits=4)
    if args.plot:
        write_plot(args.plot, shown, place)
    return PARTLY if any(r["failure"] or r.get("over") for r in shown) else DONE


if __name__ == "__main__":
    raise SystemExit(main())
