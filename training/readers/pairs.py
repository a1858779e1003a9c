"""Data sets with one label file an image: plain folder pairs, the NeurIPS 2022 challenge, Cellpose, Omnipose."""

from pathlib import Path

from training.readers.listing import Entry, Listing, image_files, stem
from training.tables import grouped

LABEL_SUFFIXES = ("", "_label", "_labels", "_mask", "_masks")  # of plain folder pairs
NEURIPS_PARTS = {".": "train", "Training-labeled": "train", "Tuning": "test"}  # the folders of Zenodo record 10719375
CELLPOSE_PARTS = {"train": "train", "train_cyto2": "train", "test": "test"}
OMNIPOSE_MODALITIES = {
    "bact_phase": "phase",
    "bact_fluor": "fluorescence",
    "worm": "brightfield",
    "worm_high_res": "brightfield",
}
NOT_IMAGES = ("_masks", "_flows")  # files that lie beside the images of Cellpose and Omnipose


def list_pairs(folder: Path, source: str, images: str, labels: str, label_suffix: str | None) -> Listing:
    """FOLDER/images/x.png with FOLDER/labels/x.png, or with x_label, x_labels, x_mask or x_masks."""
    listing = Listing()
    if found := listing.images_of(folder / images):
        suffixes = LABEL_SUFFIXES if label_suffix is None else (label_suffix,)
        _pair(listing, folder / images, found, folder / labels, suffixes, split="train", source=source, modality="")
    return listing


def list_neurips(folder: Path, source: str) -> Listing:
    """images/cell_00001.bmp with labels/cell_00001_label.tiff, in FOLDER or in its Training-labeled and Tuning."""
    listing = Listing()
    parts = {part: split for part, split in NEURIPS_PARTS.items() if (folder / part / "images").is_dir()}
    if not parts:
        listing.report(
            folder, "holds neither images/ and labels/ nor Training-labeled/; give the folder that was unpacked"
        )
    for part, split in parts.items():
        if images := listing.images_of(folder / part / "images"):
            _pair(
                listing, folder, images, folder / part / "labels", ("_label",), split=split, source=source, modality=""
            )
    return listing


def list_cellpose(folder: Path, source: str) -> Listing:
    """000_img.png beside 000_masks.png in FOLDER/train, FOLDER/train_cyto2 and FOLDER/test."""
    listing = Listing()
    parts = {part: split for part, split in CELLPOSE_PARTS.items() if (folder / part).is_dir()}
    if not parts:
        listing.report(
            folder, f"holds none of {', '.join(p + '/' for p in CELLPOSE_PARTS)}; give the folder that holds train/"
        )
    for part, split in parts.items():
        if files := listing.images_of(folder / part):
            _pair_side_by_side(listing, folder, files, split=split, source=source, modality="")
    return listing


def list_omnipose(folder: Path, source: str) -> Listing:
    """x.tif (or x_img.tif) beside x_masks.tif in any depth; bact_phase/test_sorted/... and worm/test/... are the test
    set.

    FOLDER may hold bact_phase, bact_fluor, worm and worm_high_res, or be one of them.
    """
    listing = Listing()
    for parent, files in grouped(listing.images_of(folder, recursive=True), lambda path: path.parent).items():
        parts = (folder.resolve().name, *parent.relative_to(folder).parts)
        kind = next((p for p in parts if p in OMNIPOSE_MODALITIES), None)
        _pair_side_by_side(
            listing,
            folder,
            files,
            split="test" if any(p in ("test", "test_sorted") for p in parts) else "train",
            source=f"{source}_{kind}" if kind else source,
            modality=OMNIPOSE_MODALITIES.get(kind, ""),
        )
    return listing


def _pair_side_by_side(listing: Listing, root: Path, files: list[Path], **fields) -> None:
    images = [f for f in files if not stem(f).endswith(NOT_IMAGES)]
    labels = [f for f in files if stem(f).endswith("_masks")]
    _pair(listing, root, images, files[0].parent, ("_masks",), labels, image_suffix="_img", **fields)


def _pair(
    listing: Listing,
    root: Path,
    images: list[Path],
    label_folder: Path,
    suffixes: tuple[str, ...],
    labels: list[Path] | None = None,
    image_suffix: str = "",
    **fields,
) -> None:
    """Add an entry for each image with one label, which is named as the image without `image_suffix` plus one of
    `suffixes`.

    Entries are named by the image's path within `root`. Without `labels` they are the images of `label_folder`.
    """
    labels = image_files(label_folder) if labels is None else labels
    if not labels:
        listing.report(
            label_folder, f"{'holds no labels' if label_folder.is_dir() else 'no such folder'}; check the path"
        )
        return
    by_stem, image_of = grouped(labels, stem), {}
    for image in images:
        name = stem(image).removesuffix(image_suffix)
        found = [label for suffix in suffixes for label in by_stem.get(name + suffix, ())]
        taken = next((label for label in found if label in image_of), None)
        if not found:
            expected = " or ".join(name + suffix for suffix in suffixes)
            listing.report(image, f"no label in {label_folder} (looked for {expected}); add it, or --skip the image")
        elif len(found) > 1:
            listing.report(image, f"more than one label fits: {', '.join(f.name for f in found)}; keep one of them")
        elif taken:
            listing.report(image, f"shares its label {taken.name} with {image_of[taken].name}; keep one of the images")
        else:
            name = str(image.relative_to(root).with_name(stem(image)))
            listing.entries.append(Entry(image, found[0], name=name, group=stem(image), **fields))
        image_of |= dict.fromkeys(found, image)
    for label in labels:
        if label not in image_of:
            listing.report(label, "a label without an image; copy the image here too, or --skip the label")
