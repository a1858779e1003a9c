"""From labelled images to the checkpoints in weights/, and the commands that measure them."""
