"""The networks: ConvNeXt-UNet, StarDist and Hover heads, the router, and the file format of their weights."""
