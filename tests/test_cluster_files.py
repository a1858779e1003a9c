"""The files to copy of docs/cluster: what they start, as far as one machine without Slurm and Kubernetes can tell."""

import importlib.util
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from leftovers import let_go

ROOT = Path(__file__).parents[1]
FILES = ROOT / "docs" / "cluster"


@pytest.fixture
def stand_in(tmp_path):
    """Function that makes a program of this name, a shell script, in a folder that is looked into first; gives that
    environment.
    """
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SAID": str(tmp_path / "said")}

    return make


def test_slurm_jobs_are_workers_with_a_gpu_and_a_task_at_a_time():
    pytest.importorskip("dask_jobqueue")
    spec = importlib.util.spec_from_file_location("slurm", FILES / "slurm.py")
    slurm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(slurm)
    with slurm.workers() as cluster:
        script = cluster.job_script().splitlines()
        address = cluster.scheduler_address
    del cluster
    let_go()
    for line in ("#SBATCH -p gpu", "#SBATCH --cpus-per-task=8", "#SBATCH --gpus=1", "export OMP_NUM_THREADS=8"):
        assert line in script
    words = shlex.split(script[-1])
    assert words[:3] == ["apptainer", "exec", "--nv"]
    assert words[words.index("-m") + 1].startswith("distributed.cli.dask_w")
    assert address in words
    assert words[words.index("--nthreads") + 1] == "1"
    assert "--nworkers" not in words


@pytest.mark.parametrize("part", [1, 20])
def test_each_job_of_an_array_does_its_part(stand_in, tmp_path, part):
    environment = stand_in("apptainer", 'for word; do echo "$word" >> "$SAID"; done')
    environment |= {"SLURM_ARRAY_TASK_ID": str(part), "SLURM_CPUS_PER_TASK": "8"}
    subprocess.run(["bash", FILES / "array.sh"], env=environment, check=True)
    words = (tmp_path / "said").read_text().splitlines()
    program = words[words.index("/workspace/predict.py") + 1 :]
    assert program[program.index("--part") + 1] == f"{part}/20"
    assert "OMP_NUM_THREADS=8" in words
    assert program[program.index("--report") + 1] == f"/shared/labels/report-{part}.csv"
    assert "--array=1-20 " in (FILES / "array.sh").read_text()


def test_ssh_starts_a_worker_for_each_gpu_and_the_run(stand_in, tmp_path):
    """With stand-ins for ssh, which runs its command here, and for Python, which only says what it was asked for. What
    was started ends with the run.
    """
    stand_in("ssh", 'shift 2; eval "exec $1"')
    said = 'echo "${CUDA_VISIBLE_DEVICES-none} $*" >> "$SAID"'
    environment = stand_in("python", f'{said}; case "$*" in /program*) sleep 3;; *) exec sleep 99.125;; esac')
    (tmp_path / "hosts").write_text("a 2\nb 0")
    environment |= {"CELLSEG": "/program", "SCHEDULER_HOST": "head", "SCHEDULER_PORT": "99"}
    environment.pop("CUDA_VISIBLE_DEVICES", None)
    command = ["sh", FILES / "ssh.sh", tmp_path / "hosts", "-i", "plate", "-o", "labels"]
    subprocess.run(command, env=environment, check=True, timeout=60)
    said = sorted((tmp_path / "said").read_text().splitlines())
    worker = "-m distributed.cli.dask_worker tcp://head:99 --nthreads 1 --memory-limit 0 --death-timeout 60"
    assert {f"0 {worker}", f"1 {worker}", f"none {worker}"} <= set(said)
    assert "none -m distributed.cli.dask_scheduler --host head --port 99" in said
    assert "none /program/predict.py -i plate -o labels --dask tcp://head:99" in said
    assert len(said) == 5
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"99.125" in p.read_bytes()]
    assert not left


def test_ssh_segments_on_workers_in_another_folder(stand_in, tmp_path, untrained_weights):
    """With a stand-in for ssh alone."""
    pytest.importorskip("distributed")
    environment = stand_in("ssh", 'shift 2; cd /; eval "exec $1"')
    (tmp_path / "hosts").write_text("a 0\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment |= {"CELLSEG": str(ROOT), "PYTHON": sys.executable, "SCHEDULER_HOST": "127.0.0.1", "THREADS": "1"}
    words = ["-i", ROOT / "tests/images/nuclei.tif", "-o", tmp_path / "labels", "--weights", untrained_weights]
    command = ["sh", FILES / "ssh.sh", tmp_path / "hosts", *words, "--diameter", "60", "--route", "0"]
    subprocess.run(command, env=environment | {"SCHEDULER_PORT": port}, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "labels" / "nuclei_label.tiff").exists()


def test_kubernetes_objects_fit_together():
    """The run's address is that of the scheduler's service; all have one image, and workers one task at a time."""
    yaml = pytest.importorskip("yaml")
    cluster, job = yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())
    pods = [cluster["spec"]["worker"]["spec"], cluster["spec"]["scheduler"]["spec"], job["spec"]["template"]["spec"]]
    containers = [container for pod in pods for container in pod["containers"]]
    assert {container["image"] for container in containers} == {"cellseg:dask"}
    (port,) = [p["port"] for p in cluster["spec"]["scheduler"]["service"]["ports"] if p["name"] == "tcp-comm"]
    assert containers[2]["args"] == ["--dask", f"tcp://{cluster['metadata']['name']}-scheduler:{port}"]
    assert containers[0]["args"][-2:] == ["--nthreads", "1"]
    for container in (containers[0], containers[2]):
        assert {m["mountPath"] for m in container["volumeMounts"]} == {"/inputs", "/outputs"}
    for container in containers[:2]:
        assert importlib.util.find_spec(container["args"][2]), "the module is there in this version of Dask"


def test_the_version_of_dask_is_that_of_the_tests():
    pinned = (Path(__file__).parent / "requirements.txt").read_text()
    (line,) = [line for line in (FILES / "worker.Dockerfile").read_text().splitlines() if "pip install" in line]
    assert shlex.split(line)[-1] in pinned.split()
