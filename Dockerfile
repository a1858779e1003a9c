# multistream-cellseg: a folder of microscopy images in, a folder of label TIFFs out.
#   docker build -t cellseg .
#   docker run --rm --gpus all -v "$PWD/in":/inputs -v "$PWD/out":/outputs cellseg
FROM docker.io/library/python:3.11-slim

LABEL org.opencontainers.image.title="multistream-cellseg" \
      org.opencontainers.image.description="Cell instance segmentation for microscopy images of any modality" \
      org.opencontainers.image.licenses="BSD-3-Clause"

# Compiled code must not depend on the processor that built the image, or it would be compiled anew on every other one.
# The home folder is for libraries that insist on one; any user may write there, and none has to.
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    NUMBA_CPU_NAME=generic \
    HOME=/tmp

WORKDIR /workspace
COPY requirements.txt ./
RUN pip install --root-user-action=ignore -r requirements.txt

# Importing PyTorch makes its compiler's cache folder, unused here: /tmp exists already, also where no folder can be made.
ENV TORCHINDUCTOR_CACHE_DIR=/tmp

COPY weights weights
COPY models models
COPY inference inference
COPY training training
COPY predict.py predict.sh README.md LICENSE ./
# A file whose mode is set, even to what it was, is stored again: only those that others cannot read.
RUN python -m inference.compiled && python -m compileall -q . \
    && find . \( ! -perm -004 -o -type d ! -perm -001 \) -exec chmod a+rX {} + \
    && mkdir -p /inputs /outputs && chmod a+rwx /outputs

# No USER: the challenge and Docker itself make output folders that only root may write to. predict.py gives up root's rights
# and becomes the owner of the output folder; --user runs it as anybody else.
CMD ["sh", "predict.sh"]
