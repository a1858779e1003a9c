"""training.assemble: which networks it takes, what it replaces, checksums, storage, and the model card.

Networks are placed by training.placing, the card is made by training.model_card.
"""

import hashlib
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from models.router import Router
from models.stardist import ConvNeXtStarDist
from training.assemble import main
from training.images.terms import read_terms
from training.model_card import BEGIN, END
from training.placing import default_storage

ENCODER = "test_convnext"
TRAINING = {
    "steps_done": 700,
    "seconds": 600,
    "seed": 3,
    "batch": 8,
    "crop": 256,
    "init": None,
    "random_init": True,
    "leave_out": [],
}
ROUTER_FIGURES = {
    "score": 0.75,
    "accuracy": 0.9,
    "images": 7,
    "diameter_factor": 1.25,
    "mean_diameter_factor": 1.5,
    "per_class": {str(k): 0.8 + k / 20 for k in range(4)},
}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {"segmenter": ConvNeXtStarDist(ENCODER), "router": Router()}


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(
        "image,label,split,source\n" + "a.png,a_label.png,train,cells\n" * 3 + "b.png,b_label.png,train,blood\n"
        "e.png,e_label.png,train,blood_pseudo\nc.png,c_label.png,val,cells\nd.png,,unlabelled,other\n"
    )
    return path


@pytest.fixture
def save(networks, tmp_path):
    """Write a checkpoint below RUNS; `f1` None leaves out the validation."""

    def write(name, f1=0.5, images=10, training=(), figures=None, **more):
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        config = {"network": {"encoder": ENCODER}, "diameter": 28.0, "training": TRAINING | dict(training)} | more
        if f1 is not None:
            config["validation"] = {"f1": f1, "images": images, "step": 4}
        if "router" in name:
            config |= {"network": {}, "validation": ROUTER_FIGURES | (figures or {})}
        save_checkpoint(path, networks["router" if "router" in name else "segmenter"], Config(**config))
        return path

    return write


@pytest.fixture
def runs(save, tmp_path):
    """A folder of training.protocol. Class 1's network, too, is a StarDist here; nothing depends on it."""
    save("router/router.safetensors")
    save("pretrain/stardist.safetensors", training={"steps_done": 9000})
    for name in (
        "class0-stardist/stardist",
        "class1-hover/hover",
        "class2-stardist/stardist",
        "class3-stardist/stardist",
    ):
        save(f"{name}.safetensors", training={"init": "stardist.safetensors", "leave_out": ["blood"]})
    return tmp_path / "runs"


def assemble(manifest, *more):
    return main(["--weights", str(manifest.parent / "weights"), "--manifest", str(manifest), *map(str, more)])


def card(manifest):
    return (manifest.parent / "weights" / "MODEL_CARD.md").read_text()


def test_a_run_becomes_a_weights_folder(manifest, runs):
    assert assemble(manifest, "--runs", runs) == 0
    weights = manifest.parent / "weights"
    files = [*(f"class{k}.safetensors" for k in range(4)), "router.safetensors"]
    assert sorted(p.name for p in weights.iterdir()) == ["MODEL_CARD.md", "SHA256SUMS", *files]
    assert {p.stat().st_mode & 0o777 for p in weights.iterdir()} == {0o644}
    sums = (weights / "SHA256SUMS").read_text().splitlines()
    assert sums == [f"{hashlib.sha256((weights / name).read_bytes()).hexdigest()}  {name}" for name in files]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=weights, check=True)
    kind, config = read_config(weights / "class2.safetensors")
    assert kind == "stardist"
    assert config.validation["f1"] == 0.5
    assert sorted(config.sources) == ["blood_pseudo", "cells"]
    assert config.pretraining["steps_done"] == 9000


def test_single_networks(manifest, save, caplog):
    """Parts may come from anywhere; as long as one is missing the exit code is 1."""
    assert assemble(manifest, "--class2", save("mine/stardist.safetensors")) == 1
    assert "router.safetensors, class0.safetensors, class1.safetensors, class3.safetensors" in caplog.text
    others = [word for k in (0, 1, 3) for word in (f"--class{k}", save("pretrain/stardist.safetensors"))]
    assert assemble(manifest, "--router", save("router.safetensors"), *others) == 0


def test_another_router_is_none_for_networks_that_tell_their_images_by_it(manifest, runs, save, caplog):
    assert assemble(manifest, "--runs", runs) == 0
    own = manifest.parent / "weights" / "class2-own.safetensors"
    save("own.safetensors").rename(own)
    assert assemble(manifest, "--router", save("router.safetensors"), "--force") == 2
    assert "class2-own.safetensors would not know their images by another router" in caplog.text
    assert assemble(manifest, "--class1", save("mine/stardist.safetensors", 0.6)) == 0
    assert "class2-own.safetensors" in (own.parent / "SHA256SUMS").read_text()
    assert "| class2-own.safetensors | large colour, like one's own |" in card(manifest)


@pytest.mark.parametrize(
    ("old", "new", "force", "replaced"),
    [
        (0.5, 0.6, False, True),
        (0.5, 0.5, False, False),
        (0.5, 0.4, False, False),
        (0.5, 0.4, True, True),
        (None, 0.1, False, True),
        (0.1, None, False, False),
    ],
)
def test_only_a_better_network_replaces_one(manifest, save, old, new, force, replaced):
    assemble(manifest, "--class0", save("old.safetensors", old, training={"seed": 1}))
    assemble(manifest, "--class0", save("new.safetensors", new, training={"seed": 2}), *["--force"] * force)
    seed = read_config(manifest.parent / "weights" / "class0.safetensors")[1].training["seed"]
    assert seed == (2 if replaced else 1)


def test_the_routers_score_decides(manifest, save):
    """More accuracy with a lower score, which counts the size of the cells too, does not replace it."""
    for seed, figures in enumerate([{}, {"accuracy": 0.99, "score": 0.7}, {"accuracy": 0.8, "score": 0.76}]):
        assemble(manifest, "--router", save("new/router.safetensors", training={"seed": seed}, figures=figures))
        kept = read_config(manifest.parent / "weights" / "router.safetensors")[1].training["seed"]
        assert kept == (0, 0, 2)[seed]


def test_figures_of_different_images_raise_a_warning(manifest, save, caplog):
    assemble(manifest, "--class0", save("old.safetensors", 0.5, images=10))
    assemble(manifest, "--class0", save("new.safetensors", 0.6, images=4))
    assert "may not compare" in caplog.text


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_storage(manifest, save, networks, storage):
    assemble(manifest, "--class0", save("x.safetensors"), "--storage", storage)
    path = manifest.parent / "weights" / "class0.safetensors"
    before, after = networks["segmenter"].state_dict(), load_checkpoint(path)[0].state_dict()
    tolerance = {"float16": 1e-3, "int8": 1 / 127}[storage]
    for name, value in before.items():
        assert np.allclose(after[name], value, atol=tolerance * float(value.abs().max()))
    assert read_config(path)[1].storage == storage


def test_default_storage_keeps_files_below_60_mb():
    assert default_storage(torch.nn.Linear(1000, 29_000)) == "float16"
    assert default_storage(torch.nn.Linear(1000, 31_000)) == "int8"


def test_a_router_is_no_segmenter(manifest, save, caplog):
    assert assemble(manifest, "--class0", save("router.safetensors")) == 2
    assert "cannot be class0.safetensors" in caplog.text
    assert not (manifest.parent / "weights").exists()


def test_nothing_to_assemble(manifest, tmp_path, caplog):
    assert assemble(manifest) == 2
    assert assemble(manifest, "--runs", tmp_path / "empty") == 2
    assert "--runs, or single networks" in caplog.text
    assert "give a folder of training.protocol" in caplog.text


TERMS = """# Data

| colour | code |
| --- | --- |
| blue | 1 |

| source | images | terms |
| --- | --- | --- |
| cells | 3 | CC0 |
| blood | 1 | CC BY-NC-SA 4.0 (NC) |
"""


def test_terms(tmp_path):
    (tmp_path / "README.md").write_text(TERMS)
    (tmp_path / "terms.csv").write_text("source,terms\ncells,CC0\nblood,CC BY-NC-SA 4.0 (NC)\n")
    for name in ("README.md", "terms.csv"):
        found = read_terms(tmp_path / name)
        assert (found["cells"], found["blood"]) == ("CC0", "CC BY-NC-SA 4.0 (NC)")
    (tmp_path / "terms.csv").write_text("source,licence\n")
    with pytest.raises(ValueError, match="terms.csv: no table"):
        read_terms(tmp_path / "terms.csv")


def test_model_card(manifest, save, runs, tmp_path):
    (tmp_path / "README.md").write_text(TERMS)
    save("class3-stardist/stardist.safetensors")  # not fine-tuned, on all sources
    assert assemble(manifest, "--runs", runs, "--terms", tmp_path / "README.md") == 0
    lines = card(manifest).splitlines()
    assert next(x for x in lines if x.startswith("| class0.")).endswith(
        "| 700 | 10 | 77,600 | 3 | pre-training | F1 0.5000 on 10 images |"
    )
    assert next(x for x in lines if x.startswith("| class3.")).endswith(
        "| 700 | 10 | 5,600 | 3 | random weights | F1 0.5000 on 10 images |"
    )
    assert next(x for x in lines if x.startswith("| router.")).endswith("| accuracy 0.9000 on 7 images |")
    assert (
        "- stardist: 9000 steps of 8 crops of 256x256 pixels in 10 minutes, on all classes, seed 3, from random weights"
        in lines
    )
    assert any("binary 0.8000, gray 0.8500, large colour 0.9000, small colour 0.9500" in x for x in lines)
    assert any("off by a factor of 1.25 (median), 1.50 (mean)." in x for x in lines)
    assert "| cells | 3 | all | CC0 |" in lines
    assert "| blood | 1 | router, class3 | CC BY-NC-SA 4.0 (NC) |" in lines
    assert "| blood_pseudo | 1 | all | CC BY-NC-SA 4.0 (NC) |" in lines
    # At the top.
    assert (
        "These weights are for non-commercial use only, as are some of the images that they were trained on: blood, "
        "blood_pseudo." in card(manifest).partition("## Networks")[0].splitlines()
    )
    assert "unclear" not in card(manifest)


def test_the_card_says_what_the_networks_have_seen(manifest, runs, save):
    """Fine-tuned ones with their pre-training; one that knows of more starts with those."""
    assert assemble(manifest, "--runs", runs) == 0
    lines = card(manifest).splitlines()
    assert "Each segmenter has seen 77,600 crops, those of the networks that it started from included." in lines[:30]
    row = next(x for x in lines if x.startswith("| class0.safetensors")).split(" | ")
    assert row[4:7] == ["700", "10", "77,600"]
    assert assemble(manifest, "--class1", save("x.safetensors", 0.9, training={"crops": 2_000_000})) == 0
    assert "Each segmenter has seen 77,600 to 2,000,000 crops" in card(manifest)


def test_sources_of_unclear_terms_are_named(manifest, runs):
    assert assemble(manifest, "--runs", runs) == 0
    assert "unclear terms; ask their publishers before you pass the weights on: blood, blood_pseudo, cells." in card(
        manifest
    )


def test_sources_that_are_bound_to_conditions_are_named(manifest, runs, tmp_path):
    (tmp_path / "terms.csv").write_text("source,terms\ncells,CTC conditions of use\nblood,GPL-3.0\n")
    assert assemble(manifest, "--runs", runs, "--terms", tmp_path / "terms.csv") == 0
    first = card(manifest).partition("## Networks")[0]
    assert "own); read them before you pass the weights on: blood, blood_pseudo, cells." in first
    assert "unclear" not in first


def test_what_a_start_has_seen_stands_in_the_card(manifest, runs, save, tmp_path):
    """Also where the last training left it out; the table has its terms, or else the checkpoint."""
    seen = {"blood": {"images": 7, "terms": ""}, "yeast": {"images": 2, "terms": "CC BY-NC 4.0"}}
    save("class2-stardist/stardist.safetensors", training={"leave_out": ["blood"]}, sources=seen)
    (tmp_path / "terms.csv").write_text("source,terms\ncells,CC0\nblood,MIT\n")
    assert assemble(manifest, "--runs", runs, "--terms", tmp_path / "terms.csv") == 0
    lines = card(manifest).splitlines()
    assert "| blood | 1, 7 | router, class2 | MIT |" in lines
    assert "| yeast | 2 | class2 | CC BY-NC 4.0 |" in lines
    assert any(line.endswith("that they were trained on: yeast.") for line in lines)


def test_permissive_sources_are_named_as_such(manifest, runs, tmp_path):
    """All of them, or the sentence is not there."""
    (tmp_path / "terms.csv").write_text("source,terms\ncells,CC0\nblood,MIT\n")
    assert assemble(manifest, "--runs", runs, "--terms", tmp_path / "terms.csv") == 0
    first = card(manifest).partition("## Networks")[0]
    assert "permissive terms, which ask for attribution at most: blood, blood_pseudo, cells." in first
    (tmp_path / "terms.csv").write_text("source,terms\ncells,CC0\nblood,GPL-3.0\n")
    assert assemble(manifest, "--runs", runs, "--terms", tmp_path / "terms.csv", "--force") == 0
    assert "permissive" not in card(manifest)


def test_known_failures_are_kept(manifest, runs, caplog):
    assert assemble(manifest, "--runs", runs) == 0
    path = manifest.parent / "weights" / "MODEL_CARD.md"
    written = f"{BEGIN}\nMisses yeast.\n\n- [x] and | tables\n{END}"
    path.write_text(f"# old card\n{written}\nremainder")
    assert assemble(manifest, "--runs", runs) == 0
    assert written in card(manifest)
    assert "old card" not in card(manifest)
    assert "remainder" not in card(manifest)
    path.write_text("Misses yeast.")
    assert assemble(manifest, "--runs", runs) == 2
    assert card(manifest) == "Misses yeast."
    assert "must both be there" in caplog.text


MATRIX = [[0.9, 0.5, 0.2, 0.8], [0.4, 0.7, 0.3, 0.5], [0.6, 0.1, 0.8, 0.6], [0.7, 0.2, 0.5, 0.9]]


def write_matrix(path, classes=4):
    """As training.measure.ablation --each-network --csv writes it: two images a class, 0.1 beside the mean, and the
    line of all.
    """
    lines = ["line,class,f1"] + [f"weights: mine,{c},0.99" for c in range(classes)]
    lines += [
        f'"weights: mine, class{k}",{c},{MATRIX[c][k] + off}'
        for c in range(classes)
        for k in range(4)
        for off in (-0.1, 0.1)
    ]
    path.write_text("\n".join(lines))
    return path


def test_the_router_learns_what_the_networks_score(manifest, runs, tmp_path):
    assert assemble(manifest, "--runs", runs) == 0
    router = tmp_path / "weights" / "router.safetensors"
    before = load_checkpoint(router)
    assert assemble(manifest, "--each-network", write_matrix(tmp_path / "matrix.csv")) == 0
    after = load_checkpoint(router)  # checks the checksum, too
    assert after[1] == replace(before[1], expected_f1=MATRIX)
    assert all(torch.equal(a, b) for a, b in zip(before[0].state_dict().values(), after[0].state_dict().values()))


def test_an_incomplete_matrix_is_refused(manifest, runs, tmp_path, caplog):
    assert assemble(manifest, "--runs", runs, "--each-network", write_matrix(tmp_path / "matrix.csv", classes=3)) == 2
    assert "matrix.csv: no scores of network class0 on class 3, network class1 on class 3" in caplog.text


def test_a_matrix_of_several_folders_is_refused(manifest, runs, tmp_path, caplog):
    path = write_matrix(tmp_path / "matrix.csv")
    path.write_text(path.read_text() + '\n"weights: other, class0",0,0.1')
    assert assemble(manifest, "--runs", runs, "--each-network", path) == 2
    assert "matrix.csv: has the networks of several folders (weights: mine; weights: other)" in caplog.text


SCORES = """source,seen,images,now
mean over 1 unseen sources,unseen,1,0.7
blood*,unseen,1,0.7
mean over 1 seen sources,seen,2,0.55
cells,seen,2,0.55
"""


def test_scores_in_the_card(manifest, runs, save, tmp_path, caplog):
    (tmp_path / "scores.csv").write_text(SCORES)
    assert assemble(manifest, "--runs", runs) == 0
    assert "Not measured since" in card(manifest)
    assert "mean over" not in card(manifest)
    assert assemble(manifest, "--scores", tmp_path / "scores.csv") == 0
    section = card(manifest).partition("## Validation")[2].partition("## Data")[0]
    assert [line for line in section.splitlines() if line.startswith("| ") and "---" not in line] == [
        "| source | images | now |",
        "| **mean over 1 unseen sources** | **1** | **0.700** |",
        "| blood* | 1 | 0.700 |",
        "| **mean over 1 seen sources** | **2** | **0.550** |",
        "| cells | 2 | 0.550 |",
    ]
    kept = card(manifest)
    assert assemble(manifest, "--class0", save("same.safetensors", 0.1)) == 0  # not good enough: nothing is replaced
    assert card(manifest) == kept
    assert assemble(manifest, "--class0", save("better.safetensors", 0.9)) == 0
    assert "Not measured since" in card(manifest)
    assert "mean over" not in card(manifest)
    (tmp_path / "empty.csv").write_text(SCORES.splitlines()[0])
    assert assemble(manifest, "--scores", tmp_path / "empty.csv") == 2
    assert "empty.csv: no mean over sources" in caplog.text


def test_a_manifest_that_cannot_be_read_ends_it_also_where_no_network_is_better(save, tmp_path, caplog):
    words = ["--weights", str(tmp_path / "weights"), "--class0", str(save("a", f1=0.5))]
    (tmp_path / "good.csv").write_text("image,label,split,source\na.png,a_label.png,train,cells\n")
    main([*words, "--manifest", str(tmp_path / "good.csv")])
    assert main([*words, "--manifest", str(tmp_path / "no.csv")]) == 2
    assert "no.csv" in caplog.text
