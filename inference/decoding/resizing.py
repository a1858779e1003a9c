"""Label images at another size, with smooth outlines. Compiled with numba."""

import numpy as np

from inference.compiled import compiled


@compiled
def resize_rows(labels, first_row, height, rows, width, scale):
    """Some rows of a label image at another size, with smooth outlines: each pixel takes the label with the largest
    bilinear weight around it.

    Parameters
    ----------
    labels : (h, w) int32, the rows from `first_row` on of an image of `height` rows; all that the wanted ones depend on
    rows : the wanted rows [top, bottom)
    width : of the result
    scale : pixels of `labels` per pixel of the result, (y, x)

    Returns
    -------
    (bottom - top, width) int32
    """
    top, bottom = rows
    columns = labels.shape[1]
    large = np.zeros((bottom - top, width), np.int32)
    names, weights = np.empty(4, np.int32), np.empty(4, np.float64)
    for y in range(top, bottom):
        v = min(max((y + 0.5) * scale[0] - 0.5, 0.0), height - 1.0)
        v0 = int(v)
        v1, fv = min(v0 + 1, height - 1) - first_row, v - v0
        v0 -= first_row
        for x in range(width):
            u = min(max((x + 0.5) * scale[1] - 0.5, 0.0), columns - 1.0)
            u0 = int(u)
            u1, fu = min(u0 + 1, columns - 1), u - u0
            names[0], names[1], names[2], names[3] = labels[v0, u0], labels[v0, u1], labels[v1, u0], labels[v1, u1]
            if names[0] == names[1] == names[2] == names[3]:
                large[y - top, x] = names[0]
                continue
            weights[0], weights[1] = (1 - fv) * (1 - fu), (1 - fv) * fu
            weights[2], weights[3] = fv * (1 - fu), fv * fu
            best, heaviest = names[0], -1.0
            for i in range(4):
                weight = 0.0
                for j in range(4):
                    if names[j] == names[i]:
                        weight += weights[j]
                if weight > heaviest:
                    best, heaviest = names[i], weight
            large[y - top, x] = best
    return large
