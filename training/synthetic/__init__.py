"""Images that nobody has labelled: cells drawn by rule, so that their labels are known. `training.synthesize` writes them."""
