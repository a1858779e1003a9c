"""One start of a command: how long it took, its memory, its stages, and whether its labels are there."""

import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import tifffile

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.running.naming import challenge_names, label_names
from inference.running.report import STAGE_COLUMNS, time_tolerance
from training.tables import read_table

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]  # of this project
PROGRAM = "predict.py"
DEFAULT_COMMAND = "{python} predict.py -i {input} -o {output} --report {report}"
# The container that they start is not their child process.
CONTAINER_CLIENTS = re.compile(r"\b(docker|podman|nerdctl)\b")
STAGE_NAMES = {"load": "weights"}  # where the table has another word than the report


@dataclass(frozen=True)
class Launch:
    """One start of the command.

    seconds : from start to exit
    peak_mb : None if unknown
    stages : seconds of each stage by the command's report, and the number of cells; {} without a report
    failure : why it counts as failed, or ""
    """

    seconds: float
    peak_mb: int | None
    stages: dict[str, float] = field(default_factory=dict)
    failure: str = ""


def split_command(command: str) -> list[str]:
    """The words of a command line, still with their places; raises ValueError if it cannot be used."""
    words = shlex.split(command)
    for place in ("{input}", "{output}"):
        if not any(place in word for word in words):
            raise ValueError(
                f"--command: no {place} in it; it stands for a folder of the benchmark's, as in: {DEFAULT_COMMAND}"
            )
    if words[0] != "{python}" and not shutil.which(words[0]):
        raise ValueError(
            f"--command: no program {words[0]!r} on this machine; give its path, or start a shell: sh -c '...'"
        )
    return words


def fill(words: list[str], source: Path, output: Path) -> list[str]:
    """The command's words with absolute paths in place of {input}, {output}, {report} and {python}."""
    places = {
        "{input}": source.resolve(),
        "{output}": output.resolve(),
        "{report}": output.resolve() / "report.json",
        "{python}": sys.executable,
    }
    for place, value in places.items():
        words = [word.replace(place, str(value)) for word in words]
    return words


def launch(words: list[str], source: Path, images: dict[Path, tuple[int, int]], folder: Path) -> Launch:
    """Start the command once.

    Parameters
    ----------
    words : of the command, with places
    source : the folder for {input}
    images : the images in it and their (height, width)
    folder : a new one, for the output and the log
    """
    output, log_file = folder / "out", folder / "log.txt"
    output.mkdir(parents=True)
    output.chmod(0o777)  # the user in a container is another one
    stopwatch = [sys.executable, "-I", "-S", str(Path(__file__).with_name("stopwatch.py")), str(log_file)]
    answer = subprocess.run([*stopwatch, *fill(words, source, output)], stdout=subprocess.PIPE, check=True)
    measured = json.loads(answer.stdout)
    failure = find_failure(measured["code"], images, output)
    if failure:
        said = log_file.read_text(errors="replace").splitlines()[-5:]
        log.error(
            "%s: %s; the command's last lines:\n    %s",
            source,
            failure,
            "\n    ".join(said or ["(it printed nothing)"]),
        )
    peak_mb = None if CONTAINER_CLIENTS.search(" ".join(words)) else measured["peak_mb"]
    return Launch(measured["seconds"], peak_mb, read_stages(output / "report.json", measured["seconds"]), failure)


def run_folder(images: Path, out: Path, *more: str, program: Path = ROOT) -> list[dict[str, str]]:
    """Start predict.py once on a folder; the lines of its report for the images that are done.

    Parameters
    ----------
    out : folder for the labels
    more : options
    program : folder of the predict.py

    Raises
    ------
    ValueError
        If it fails, or no image is done.
    """
    report = out / "report.csv"
    words = ["-i", images.resolve(), "-o", out.resolve(), "--quiet", "--report", report.resolve(), *more]
    code = subprocess.run([sys.executable, PROGRAM, *map(str, words)], cwd=program).returncode
    if code:
        raise ValueError(f"{images}: predict.py ended with exit code {code}; run it without this command first")
    done = [row for _, row in read_table(report, ("status", "seconds", "cells")) if row["status"] == "done"]
    if not done:
        raise ValueError(f"{images}: predict.py has segmented no image; give a folder with images")
    return done


def program_before(folder: Path) -> Path:
    """The predict.py in the folder of --before. Raises ValueError if there is none."""
    if not (folder / PROGRAM).is_file():
        raise ValueError(f"--before {folder}: no {PROGRAM} there; name the folder of a version of the program")
    return folder / PROGRAM


def find_failure(code: int, images: dict[Path, tuple[int, int]], output: Path) -> str:
    """Why a finished command counts as failed, in a few words; "" if it does not."""
    if code:
        return f"exit code {code}" if code > 0 else f"ended by signal {-code}"
    for path, name in label_names(list(images)).items():
        labels = min(
            (output / f"{n}{LABEL_SUFFIX}" for n in (name, challenge_names([path])[path])),
            key=lambda p: not p.is_file(),
        )
        if not labels.is_file():
            return f"no {labels.name} written"
        try:
            with tifffile.TiffFile(labels) as tiff:
                shape = tiff.pages[0].shape
        except tifffile.TiffFileError:
            return f"{labels.name} is not a TIFF"
        if shape != images[path]:
            return f"{labels.name} has shape {shape}, expected {images[path]}"
    return ""


def read_stages(path: Path, real: float) -> dict[str, float]:
    """Where the `real` seconds of a start went, summed over the images that its report calls done, and their number of
    cells.

    Without a report, or without a usable one, {}.
    """
    if not path.is_file():
        return {}
    try:
        done = [row for row in json.loads(path.read_text()) if row["status"] == "done"]
        times = {
            stage: [row[column] for row in done if row.get(column) is not None]
            for stage, column in STAGE_COLUMNS.items()
        }
        stages = {STAGE_NAMES.get(stage, stage): sum(seconds) for stage, seconds in times.items() if seconds}
        return {
            "start+imports": real - sum(row["seconds"] for row in done),
            **stages,
            "cells": sum(row["cells"] for row in done),
        }
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s: not a report as predict.py --report writes it (%r), left out", path, error)
        return {}


def image_record(name: str, shape: tuple[int, int], run: Launch) -> dict:
    """A line of the table for one image."""
    height, width = shape
    tolerance = time_tolerance(height, width)
    return {
        "image": name,
        "size": f"{width}x{height}",
        "Mpx": height * width / 1e6,
        "tolerance": tolerance,
        "real": run.seconds,
        "over": max(0.0, run.seconds - tolerance),
        "peak MB": run.peak_mb,
        **run.stages,
        "failure": run.failure,
    }


@contextmanager
def work_folder(keep: Path | None):
    """The folder `keep`, which must be new or empty, or a temporary one."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            yield Path(folder)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise ValueError(f"{keep}: not empty; give --keep a new folder")
    yield keep
