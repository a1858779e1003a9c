"""Images and labels of one's own: reading them, looking at them, and what a network gains by them."""
