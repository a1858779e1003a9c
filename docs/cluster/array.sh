#!/bin/bash
#SBATCH --job-name=cellseg --array=1-20 --gpus=1 --cpus-per-task=8 --mem=28G --time=02:00:00
# Twenty jobs that know nothing of each other, each one with every 20th image of /shared/plate. Once all have ended:
#   python -m inference.merge_reports report.csv /shared/labels/report-*.csv
apptainer exec --nv --containall --env OMP_NUM_THREADS="$SLURM_CPUS_PER_TASK" --bind /shared cellseg.sif \
    python /workspace/predict.py -i /shared/plate -o /shared/labels --resume \
    --part "$SLURM_ARRAY_TASK_ID/20" --report "/shared/labels/report-$SLURM_ARRAY_TASK_ID.csv"
