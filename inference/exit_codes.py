"""The exit codes of the program and of `inference.merge_reports`."""

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2
INTERRUPTED = 130
