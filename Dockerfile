# multistream-cellseg: a folder of microscopy images in, a folder of label TIFFs out.
#   docker build -t cellseg .                                                        with CUDA; runs without a GPU as well
#   docker build -t cellseg:cpu --build-arg CPU_INDEX=ADDRESS .                      without CUDA's libraries, a third of the size
#   docker build -t cellseg:cu126 --build-arg TORCH_INDEX=ADDRESS --build-arg TORCH_BUILD=cu126 .    for drivers older than CUDA 13's
#   mkdir -p out && docker run --rm --gpus all -v "$PWD/in":/inputs:ro -v "$PWD/out":/outputs cellseg
# docs/containers.md has the rest.
ARG BASE=docker.io/library/python:3.11-slim
# hadolint ignore=DL3006
FROM $BASE

# For CPU_INDEX, TORCH_INDEX and TORCH_BUILD see below. Nothing is dated later than SOURCE_DATE_EPOCH (seconds), so that two builds can be equal.
ARG CPU_INDEX=""
ARG TORCH_INDEX=""
ARG TORCH_BUILD=cu126
ARG SOURCE_DATE_EPOCH=1767225600

# Compiled code must not depend on the processor that built the image, or it would be compiled anew on every other one.
# The home folder is for libraries that insist on one; any user may write there, and none has to. Packages in the home folder of
# whoever runs this (Apptainer brings it along) must not replace ours. Importing PyTorch makes its compiler's cache folder, unused
# here: /tmp exists already, also where no folder can be made.
ENV PYTHONUNBUFFERED=1 \
    PYTHONNOUSERSITE=1 \
    NUMBA_CPU_NAME=generic \
    TORCHINDUCTOR_CACHE_DIR=/tmp \
    HOME=/tmp

WORKDIR /workspace

# PyTorch for CPUs alone is not among the packages of the usual index; CPU_INDEX is the address of PyTorch's own index of them, and
# its two packages are pinned by version. Likewise TORCH_INDEX is that of packages for an older CUDA, whose name TORCH_BUILD is, and which
# bring their own libraries of it. Everything else is pinned by hash. Left out: tests, headers and static libraries.
# Bytecode (.pyc) is never compared with its source, which is as it was and may seem to have another date.
COPY requirements.lock requirements-cuda.lock ./
# hadolint ignore=DL3013
RUN install() { PYTHONDONTWRITEBYTECODE=1 pip install --root-user-action=ignore --disable-pip-version-check \
            --no-cache-dir --no-compile --no-deps "$@"; } \
    && install --require-hashes -r requirements.lock \
    && if [ -n "$TORCH_INDEX" ]; then sed -nE "s/^(torch(vision)?==[0-9.]+).*/\\1+$TORCH_BUILD/p" requirements-cuda.lock > /tmp/torch \
            && PYTHONDONTWRITEBYTECODE=1 pip install --root-user-action=ignore --disable-pip-version-check --no-cache-dir --no-compile \
                --extra-index-url "$TORCH_INDEX" -r /tmp/torch && rm /tmp/torch; \
       elif [ -z "$CPU_INDEX" ]; then install --require-hashes -r requirements-cuda.lock; \
       else sed -nE 's/^(torch(vision)?==[0-9.]+).*/\1+cpu/p' requirements-cuda.lock > /tmp/torch \
            && install --extra-index-url "$CPU_INDEX" -r /tmp/torch && rm /tmp/torch; fi \
    && packages=$(python -c "from importlib.util import find_spec; print(find_spec('torch').submodule_search_locations[0])")/.. \
    && find "$packages" -path '*/numpy/*' -prune -o -type d \( -name tests -o -path '*/torch/include' \
            -o -path '*/nvidia/*/include' \) -prune -exec rm -r {} + \
    && find "$packages" -name '*.a' -delete \
    && python -m compileall -q -f -j 0 -x '/pip/|/py312_' --invalidation-mode unchecked-hash "$(realpath "$packages")"

COPY weights weights
COPY multistream_cellseg multistream_cellseg
COPY models models
COPY inference inference
COPY training training
COPY predict.py predict.sh README.md LICENSE ./
# numba's caches are valid for their source file's date. A file whose mode is set, even to what it was, is stored again: only those
# that others cannot read.
RUN find inference models multistream_cellseg predict.py -name '*.py' -exec touch -d "@$SOURCE_DATE_EPOCH" {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash . \
    && PYTHONHASHSEED=0 python -m inference.warm_up \
    && find . \( ! -perm -004 -o -type d ! -perm -001 \) -exec chmod a+rX {} + \
    && mkdir -p /inputs /outputs && chmod a+rwx /outputs

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="multistream-cellseg" \
      org.opencontainers.image.description="Cell instance segmentation for microscopy images of any modality" \
      org.opencontainers.image.licenses="BSD-3-Clause AND LicenseRef-noncommercial-weights" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# No USER: the challenge and Docker itself make output folders that only root may write to. predict.py gives up root's rights
# and becomes the owner of the output folder; --user runs it as anybody else.
CMD ["sh", "/workspace/predict.sh"]
