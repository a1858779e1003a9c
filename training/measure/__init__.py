"""Commands that score and time, and what they share: nothing here changes a network."""
