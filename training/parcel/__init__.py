"""Training on a borrowed machine: data and project in one file, results in parts."""
