"""What is done to an image before a network sees it: its contrast, what of it shows something, its working size."""
