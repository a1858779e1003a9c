"""What a run leaves behind for an image: labels first, everything else made from them on request."""
