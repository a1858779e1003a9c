"""Play the challenge's organiser: start the container once for every image, hold the stopwatch, score what it wrote.

    python -m training.measure.rehearsal team:latest --manifest data/manifest.csv
    python -m training.measure.rehearsal team:latest --images my_images --truth my_labels --csv rehearsal.csv
    python -m training.measure.rehearsal team:latest --manifest data/manifest.csv \\
        --options "--gpus device=0 -m 28G --network none"
    python -m training.measure.rehearsal localhost/team --engine podman --images my_images
    python -m training.measure.rehearsal team.sif --engine apptainer --manifest data/manifest.csv --each 2

Images are those of a manifest (training.images.manifest; the lines of --split that have labels) or of a folder, whose
true labels are --truth's files NAME_label.*, NAME being the image's up to its first dot. Without --truth, only times
are measured.

Docker and Podman are given the organiser's own command:

    docker container run OPTIONS --name NAME --rm -v IN/:/workspace/inputs/ -v OUT/:/workspace/outputs/ IMAGE \\
        /bin/bash -c "sh predict.sh"

Apptainer and Singularity, with an image file made by `apptainer build team.sif docker-archive:team.tar`, are given

    apptainer exec OPTIONS --bind IN:/inputs:ro --bind OUT:/outputs IMAGE sh /workspace/predict.sh /inputs /outputs

An image fails if the exit code is not 0, if its label TIFF is missing, of another size or wrongly named, or if the
output folder holds anything else. Three tables are printed: times, as in the paper's Table 5, a line for each size of
image; and the scores by class and by source, as the organiser's program computes them and corrected
(training.measure.score). The times, in seconds, run from the engine's start to its exit and count only on an idle
machine; the first start after loading an image takes longer.

Exit code: 0; 1 if an image failed or took longer than tolerated; 2 if nothing could be measured.
"""

import argparse
import logging
import os
import shlex
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.reading import read_image
from inference.running.finding import images_in
from inference.running.naming import challenge_names
from training.command import DONE, PARTLY, command, manual, positive
from training.measure.cases import Case, cases_from_manifest
from training.measure.f1 import MODES
from training.measure.launching import Launch, image_record, launch, work_folder
from training.measure.machine import machine
from training.measure.scores import EXPLAINED, Score, score_case, score_table
from training.tables import grouped, text_table, write_table

log = logging.getLogger(__name__)

DOCKER_LIKE = ("docker", "podman")
APPTAINER_LIKE = ("apptainer", "singularity")  # no memory limit, as that needs more of the host than a user may ask for
DEFAULT_OPTIONS = dict.fromkeys(DOCKER_LIKE, "-m 28G --network none") | dict.fromkeys(APPTAINER_LIKE, "--containall")
ENGINE_FAILED = "exit code 125"  # Docker's and Podman's own, when they cannot start a container


@dataclass(frozen=True)
class Task:
    """An image to send in.

    labels : where its prediction is kept
    case : its truth; None if unknown
    """

    image: Path
    labels: Path
    case: Case | None = None


def tasks_of_manifest(manifest: Path, out: Path, split: str, each: int | None = None) -> list[Task]:
    """The labelled images of a split, at most `each` of every source; predictions go below `out`."""
    taken, tasks = Counter(), []
    for case in cases_from_manifest(manifest, out, split):
        taken[case.source] += 1
        if each is None or taken[case.source] <= each:
            tasks.append(Task(case.image, case.candidates[0], case))
    return tasks


def tasks_of_folder(images: Path, truth: Path | None, out: Path) -> list[Task]:
    """All images of a folder. Raises ValueError if one of them has no true labels, or more than one file of them."""
    tasks = []
    for image, name in challenge_names(images_in(images)).items():
        labels = out / f"{name}{LABEL_SUFFIX}"
        if truth is None:
            tasks.append(Task(image, labels))
            continue
        found = [path for path in truth.iterdir() if path.name.startswith(f"{name}_label.")]
        if len(found) != 1:
            raise ValueError(
                f"{image}: expected one file {name}_label.* in {truth}, found {len(found)}; add the true labels, "
                "or leave --truth out to measure times alone"
            )
        tasks.append(Task(image, labels, Case(found[0], (labels,), "", image)))
    return tasks


def engine_words(engine: str, options: str | None, image: str) -> list[str]:
    """The command's words, with {input} and {output} for the two folders. Raises ValueError if the engine is not
    installed.
    """
    if not shutil.which(engine):
        raise ValueError(
            f"no program {engine!r} on this machine; install it, or choose with --engine one of "
            f"{', '.join(DEFAULT_OPTIONS)}"
        )
    kind = Path(engine).name
    words = shlex.split(DEFAULT_OPTIONS[kind] if options is None else options)
    if kind in APPTAINER_LIKE:
        binds = ["--bind", "{input}:/inputs:ro", "--bind", "{output}:/outputs"]
        script = ["sh", "/workspace/predict.sh", "/inputs", "/outputs", "--challenge-names"]
        return [engine, "exec", *words, *binds, image, *script]
    name = ["--name", f"rehearsal-{os.getpid()}", "--rm"]
    volumes = ["-v", "{input}/:/workspace/inputs/", "-v", "{output}/:/workspace/outputs/"]
    return [engine, "container", "run", *words, *name, *volumes, image, "/bin/bash", "-c", "sh predict.sh"]


def send_in(task: Task, words: list[str], folder: Path) -> dict:
    """Start the container for one image; returns its line of the table (training.measure.launching.image_record) and
    keeps its labels.

    Parameters
    ----------
    folder : a new one, for the two folders that the container sees

    Raises
    ------
    ValueError
        If the image cannot be read, or the engine could not start the container at all.
    """
    alone = folder / "in" / task.image.name
    alone.parent.mkdir(parents=True)
    (shutil.copytree if task.image.is_dir() else shutil.copy)(task.image, alone)
    shape = read_image(alone).shape
    run = launch(words, alone.parent, {alone: shape}, folder / "run")
    if run.failure == ENGINE_FAILED:
        raise ValueError(
            f"{words[0]} could not start the container (its last lines are above); correct --options or build the image"
        )
    output = folder / "run" / "out"
    run = expect_alone(run, output, challenge_names([alone])[alone] + LABEL_SUFFIX)
    if not run.failure:
        task.labels.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(next(output.iterdir()), task.labels)
    return image_record(task.image.name, shape, run)


def expect_alone(run: Launch, output: Path, name: str) -> Launch:
    """The same launch, failed if the output folder holds more than the label file `name`: the organiser's scorer stops
    at it.
    """
    others = sorted(path.name for path in output.iterdir() if path.name != name)
    if run.failure or not others:
        return run
    return replace(run, failure=f"wrote more than {name}: {', '.join(others)}")


def time_table(records: list[dict]) -> str:
    """A line for each size of image, smallest first: the tolerance, the median and the longest time, the time out of
    tolerance.
    """
    rows = []
    for size, members in grouped(sorted(records, key=lambda r: r["Mpx"]), lambda r: r["size"]).items():
        times = [r["real"] for r in members]
        failed = sum(bool(r["failure"]) for r in members)
        rows.append(
            {
                "size": size,
                "images": len(members),
                "tolerance": members[0]["tolerance"],
                "median": median(times),
                "longest": max(times),
                "out of tolerance": sum(r["over"] for r in members),
                "failed": failed or "",
            }
        )
    return text_table(rows)


def totals(records: list[dict]) -> str:
    """One line: images, failures, the median time, the time out of tolerance."""
    late = [r["over"] for r in records if r["over"]]
    return (
        f"{len(records)} images, {sum(bool(r['failure']) for r in records)} failed; "
        f"median time {median(r['real'] for r in records):.1f} s; {len(late)} out of tolerance, by {sum(late):.1f} s "
        "in all"
    )


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.rehearsal", __doc__)
    add = parser.add_argument
    add("image", metavar="IMAGE", help="name of the container image, for Apptainer its file")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--manifest", type=Path, metavar="CSV", help="images and their labels")
    source.add_argument("--images", type=Path, metavar="DIR", help="folder of images")
    add("--truth", type=Path, metavar="DIR", help="with --images: folder of NAME_label.* files [no scores]")
    add("--split", default="val", help="with --manifest: the lines to use [val]")
    add("--each", type=positive, metavar="N", help="with --manifest: at most N images of each source [all]")
    add("--engine", default="docker", help=f"{', '.join(DEFAULT_OPTIONS)}, or a path to one [docker]")
    add(
        "--options",
        metavar="TEXT",
        help="further options of the engine's run command, in one argument; "
        + "; ".join(f"{engine}: [{text}]" for engine, text in DEFAULT_OPTIONS.items()),
    )
    add("--csv", type=Path, metavar="FILE", help="write a line for each image there")
    add("--keep", type=Path, metavar="DIR", help="keep labels and logs in this new folder")
    args = parser.parse_args(argv)
    if Path(args.engine).name not in DEFAULT_OPTIONS:
        parser.error(f"--engine: {args.engine!r} is not one of {', '.join(DEFAULT_OPTIONS)}")
    if args.manifest and args.truth:
        parser.error("--truth goes with --images; a manifest names its labels itself")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    words = engine_words(args.engine, args.options, args.image)
    place = machine()
    with work_folder(args.keep) as work:
        records, scores = rehearse(args, words, work)
    print(f"machine: {place}\ncommand: {shlex.join(words)}\n\n{time_table(records)}\n\n{totals(records)}")
    if scores:
        print(*(f"\n{EXPLAINED[mode]}\n{score_table(scores, mode)}" for mode in MODES), sep="\n")
    if args.csv:
        write_table(args.csv, records, digits=4)
    return PARTLY if any(r["failure"] or r["over"] for r in records) else DONE


def rehearse(args: argparse.Namespace, words: list[str], work: Path) -> tuple[list[dict], list[Score]]:
    """Send in all images; returns the lines of the table, with F1 at IoU 0.5 where the truth is known, and all
    scores.
    """
    out = work / "predictions"
    if args.manifest:
        tasks = tasks_of_manifest(args.manifest, out, args.split, args.each)
    else:
        tasks = tasks_of_folder(args.images, args.truth, out)
    records, scores = [], []
    for number, task in enumerate(tasks, 1):
        record = send_in(task, words, work / "runs" / str(number))
        found = score_case(task.case) if task.case else []
        scores += found
        records.append(record | {f"F1 {score.mode}": score.f1 for score in found})
        progress = f"{number} of {len(tasks)}, {task.image.name}: {record['real']:.1f} s"
        if record["failure"]:
            log.error("%s, failed: %s", progress, record["failure"])
        else:
            log.info("%s", progress)
    return records, scores


if __name__ == "__main__":
    raise SystemExit(main())
