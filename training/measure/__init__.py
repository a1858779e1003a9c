"""Commands that score and time what training made."""
