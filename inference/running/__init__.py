"""A run: which files it takes, what it asks of each, what it says and reports, and which files it may write."""
