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

COPY models models
COPY inference inference
COPY training training
COPY weights weights
COPY predict.py predict.sh README.md LICENSE ./
RUN python -m inference.compiled && python -m compileall -q . \
    && mkdir -p /inputs /outputs && chmod -R a+rX . && chmod a+rwx /outputs

USER 1000:1000
CMD ["sh", "predict.sh"]
