"""A training: what it is told, its networks and losses, its steps, and how it goes on after a stop."""
