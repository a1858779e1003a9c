"""Between maps and labels: polygons, suppression, painting, watershed, numbers; and the maps that are learnt."""
