"""A run on a Dask cluster: an image a task, and parts of an image that is too large for one worker."""
