"""Workers that Slurm starts, one a GPU, and a run on them: python slurm.py -i /shared/plate -o /shared/labels

Needs dask-jobqueue where this runs, the repository (its folder in CELLSEG), and cellseg.sif in the current folder: an
Apptainer image of cellseg:dask. All options are predict.py's.
"""

import os
import subprocess
import sys

from dask_jobqueue import SLURMCluster

GPUS = 20
THREADS = 8
IMAGE = os.path.abspath("cellseg.sif")


def workers() -> SLURMCluster:
    """A job is a worker with a GPU. Change the queue, and the folder that all nodes share."""
    return SLURMCluster(
        queue="gpu",
        cores=1,  # tasks at a time
        job_cpu=THREADS,
        memory="24GB",
        walltime="04:00:00",
        job_extra_directives=["--gpus=1"],
        job_script_prologue=[f"export OMP_NUM_THREADS={THREADS}"],
        python=f"apptainer exec --nv --bind /shared {IMAGE} python",
        log_directory="slurm-logs",
    )


if __name__ == "__main__":
    sys.path.insert(0, os.environ["CELLSEG"])  # the scheduler, which is in this process, needs the program too
    with workers() as cluster:
        cluster.scale(jobs=GPUS)
        program = [sys.executable, os.path.join(os.environ["CELLSEG"], "predict.py")]
        sys.exit(subprocess.run([*program, *sys.argv[1:], "--dask", cluster.scheduler_address]).returncode)
