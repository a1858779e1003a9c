#!/bin/sh
# Workers on machines that one reaches by SSH, and a run on them: sh ssh.sh HOSTS -i /shared/plate -o /shared/labels
# HOSTS is a file with a line "HOST GPUS" for each machine ("HOST 0": one worker on its cores). All options that follow are
# predict.py's. MEMORY is what a worker may take, such as 24GB (no limit). CELLSEG is the repository's folder, PYTHON a Python with its requirements and Dask, both the same everywhere.
set -eu
hosts=$1
shift
python=${PYTHON:-python}
address=${SCHEDULER_HOST:-$(hostname -f)}:${SCHEDULER_PORT:-8786}
started=
trap 'kill $started 2>/dev/null || true' EXIT

PYTHONPATH=$CELLSEG "$python" -m distributed.cli.dask_scheduler --host "${address%:*}" --port "${address##*:}" &
started=$!
while read -r host gpus <&3 || [ -n "$host" ]; do
    gpu=0
    while [ "$gpu" -lt "$gpus" ] || [ "$gpus$gpu" = 00 ]; do
        visible=$([ "$gpus" = 0 ] || echo "CUDA_VISIBLE_DEVICES=$gpu")
        # -tt: the worker ends when the connection does
        ssh -tt "$host" "env $visible PYTHONPATH='$CELLSEG' OMP_NUM_THREADS=${THREADS:-8} '$python' -m distributed.cli.dask_worker \
            'tcp://$address' --nthreads 1 --memory-limit ${MEMORY:-0} --death-timeout 60" < /dev/null &
        started="$started $!"
        gpu=$((gpu + 1))
    done
done 3< "$hosts"
"$python" "$CELLSEG/predict.py" "$@" --dask "tcp://$address"
