"""What the kinds of network share on the way from maps to labels: polygons, suppression, watershed, numbers."""
