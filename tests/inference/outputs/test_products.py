"""inference.outputs.products: what is missing is said before the work."""

import pytest

from inference.outputs import products
from inference.outputs.products import PRODUCTS, check_packages


def test_a_missing_package_is_named(monkeypatch):
    check_packages(PRODUCTS)
    monkeypatch.setattr(products, "find_spec", lambda name: None)
    check_packages(["overlay", "table"])
    with pytest.raises(ValueError, match="--rois needs roifile and shapely: pip install roifile shapely"):
        check_packages(["overlay", "rois"])
