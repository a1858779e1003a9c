"""How large the cells of an image are, and what follows where they are of two sizes."""
