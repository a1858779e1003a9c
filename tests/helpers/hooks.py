"""What a worker of the tests does as it begins a file, by the file's name: it dies, or waits. Brought by a plugin."""

import os
import signal
import time
from pathlib import Path

from distributed import WorkerPlugin

from inference.cluster import tasks


class Hooks(WorkerPlugin):
    """Parameters
    ----------
    folder : for the names of all files that were begun, a line each, in `begun`
    labels : folder that a slow file waits for, until all others are in it
    others : their number
    scheduler : process that a file named "cut" ends
    """

    name = "hooks"

    def __init__(self, folder: Path, labels: Path, others: int = 0, scheduler: int = 0):
        self.folder, self.labels, self.others, self.scheduler = folder, labels, others, scheduler

    def setup(self, worker) -> None:
        if not hasattr(tasks, "make_run_as_it_is"):
            tasks.make_run_as_it_is = tasks.make_run
        tasks.make_run = self.make_run

    def teardown(self, worker) -> None:
        tasks.make_run = tasks.make_run_as_it_is

    def make_run(self, job, files, segmenter, page):
        for file in files:
            self.begin(file.found.path.name.split(".")[0])
        return tasks.make_run_as_it_is(job, files, segmenter, page)

    def begin(self, name: str) -> None:
        again = name in self.begun()
        with open(self.folder / "begun", "a") as log:
            log.write(f"{name}\n")
        if name in ("poison", "once", "cut"):
            time.sleep(1)  # what is done before is told by then
        if name == "poison" or name == "once" and not again:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "cut" and self.scheduler:
            os.kill(self.scheduler, signal.SIGKILL)
            time.sleep(600)
        deadline = time.monotonic() + 300
        while name == "slow" and len(list(self.labels.glob("*_label.tiff"))) < self.others:
            if time.monotonic() > deadline:
                raise TimeoutError("slow.png: the others were not done meanwhile")
            time.sleep(0.1)

    def begun(self) -> list[str]:
        log = self.folder / "begun"
        return log.read_text().split() if log.exists() else []
