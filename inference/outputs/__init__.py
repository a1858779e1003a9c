"""What a run leaves behind, a module for each kind of file."""
