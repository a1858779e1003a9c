"""Train a segmenter: pre-train on all images or fine-tune on one class (paper, sections 2.3 and 3.3).

Pre-train both streams at once, then fine-tune class 1's Hover network from it:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    python -m training.train --manifest data/manifest.csv --stream hover --classes 1 \\
        --init runs/pretrain/hover.safetensors --out runs/class1

The defaults are the paper's protocol (ConvNeXt-small from ImageNet, 512x512 crops, batch 16, AdamW 1e-4 halved every
quarter of the run) in steps instead of epochs. Without a GPU and without ImageNet weights, a small network in an hour
and a half:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain --encoder convnext_atto \\
        --random-init --crop 256 --batch 8 --lr 1e-3 --schedule cosine --time-budget 90

On several GPUs of one machine, or of several, each with its own copy of the data and with one folder for --out that
they share:

    torchrun --nproc-per-node 4 -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    torchrun --nproc-per-node 4 --nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m training.train --manifest data/manifest.csv --stream both --out /mnt/shared/runs/pretrain

The run writes

    OUT/STREAM.safetensors  for predict.py: the moving average of the weights at the step of its highest validation F1.
                            It is scored every --validate-every minutes and at the end, each stream on its own, and with
                            --init also before the first step: fine-tuning never hands on a network that scores less
                            than the one it got.
    OUT/validation.csv      a line for each score
    OUT/log.csv             a line every --log-every steps: the mean of each loss term (with several processes, of the
                            first one's crops) and the seconds spent waiting for data
    OUT/resume.safetensors  every --save-every seconds and at the end

The same command continues a run that was stopped or killed, from the last resume file, exactly as if it had not been:
crops depend on --seed and the step alone. SIGTERM, by which clusters announce the end, saves first; the exit code is
then 143 (torchrun's own is 1). So does Ctrl-C without torchrun, after the step that runs, with exit code 130; a second
one ends at once, and what came after the last resume file is lost. Two things follow the clock and differ from run to
run: the learning rate with --time-budget, and the steps at which networks are scored, unless --validate-steps fixes
them. Start and validations are part of the time budget.

With several processes --batch is the sum over all of them, and they draw the crops that one would have drawn. Gradients
are averaged over the processes. Batch normalisation uses the statistics of each process's own crops and keeps the first
one's running averages, so that a network trained on 8 crops by each of two processes is not exactly one trained on 16
by one.

`python -m training.measure.loader_speed` tells whether the crops are made fast enough.
"""

from training.command import command
from training.learning.loop import train
from training.learning.segmenter_trainer import SegmenterTrainer
from training.learning.settings import SegmenterSettings
from training.learning.train_options import parse_arguments


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    return train(SegmenterTrainer, SegmenterSettings.of(parse_arguments(argv, __doc__)))


if __name__ == "__main__":
    raise SystemExit(main())
