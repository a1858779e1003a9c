# The program's image with Dask, for the scheduler, the workers and the run: docker build -t cellseg:dask -f worker.Dockerfile .
ARG BASE=cellseg
FROM $BASE
RUN pip install --no-cache-dir "distributed==2026.8.0"
# The workers find the program wherever they are started.
ENV PYTHONPATH=/workspace
