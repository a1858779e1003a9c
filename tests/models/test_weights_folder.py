"""All five networks are looked at before the first image."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.checksums import CheckpointError, write_checksums
from models.weights_folder import FILES, check_weights, own_files


@pytest.fixture
def folder(untrained_weights, tmp_path):
    return shutil.copytree(untrained_weights, tmp_path / "weights")


def refused(folder, listed=True, **more):
    if listed:
        write_checksums(folder, FILES)
    with pytest.raises(CheckpointError) as error:
        check_weights(folder, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def header(path, kind, config):
    save_file(
        {"weight": np.zeros(2, np.float32)}, path, {"format": "multistream-cellseg 1", "kind": kind, "config": config}
    )


def test_good_ones(folder):
    check_weights(folder)
    check_weights(folder, verify=True)


def test_missing(folder):
    (folder / "class2.safetensors").unlink()
    assert "class2.safetensors missing; give the folder" in refused(folder)


def test_not_in_the_list(folder):
    write_checksums(folder, [name for name in FILES if name != "class3.safetensors"])
    assert "SHA256SUMS: no line for class3.safetensors" in refused(folder, listed=False)


@pytest.mark.parametrize("name", FILES)
def test_shorter_than_its_header_says(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-4])
    assert f"{name}: damaged weights file" in refused(folder)


def test_the_router_in_the_place_of_a_segmenter_and_the_other_way_round(folder):
    router, other = (folder / "router.safetensors").read_bytes(), (folder / "class1.safetensors").read_bytes()
    (folder / "class1.safetensors").write_bytes(router)
    assert "class1.safetensors: a router network in the place of a stardist or hover one" in refused(folder)
    (folder / "class1.safetensors").write_bytes(other)
    (folder / "router.safetensors").write_bytes(other)
    assert "router.safetensors: a hover network in the place of a router one" in refused(folder)


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (
            "stardist",
            '{"network": {}, "diameter": 9, "file": "class2.safetensors"}',
            "it is class2.safetensors in the place of another one",
        ),
        ("stardist", '{"network": {}, "depth": 9}', "its configuration is not of this version of the program"),
        ("stardist", '{"network": {}, "diameter": Infinity}', "its cell diameter inf is no number of pixels"),
        ("stardist", '{"network": {}, "diameter": "28"}', "its cell diameter '28' is no number of pixels"),
        ("maskrcnn", '{"network": {}}', "a maskrcnn network in the place"),
        ("stardist", "{", "its configuration is not of this version of the program"),
    ],
)
def test_foreign_headers(folder, kind, config, message):
    header(folder / "class0.safetensors", kind, config)
    assert f"class0.safetensors: {message}" in refused(folder)


def test_a_changed_weight_is_found_when_all_are_verified(folder):
    content = bytearray((folder / "class3.safetensors").read_bytes())
    content[-9] ^= 1
    (folder / "class3.safetensors").write_bytes(content)
    check_weights(folder)
    assert "class3.safetensors: damaged or another weights file" in refused(folder, listed=False, verify=True)


OWN = "class1-own.safetensors"
LIKENESS = '{"centre": [0.0], "spread": [1.0], "factors": [1.0], "bias": 0.0, "radius": 1.0}'


def test_a_network_beside_its_class_s(folder):
    assert own_files(folder) == []
    header(folder / OWN, "hover", f'{{"network": {{}}, "diameter": 28, "likeness": {LIKENESS}}}')
    write_checksums(folder, [*FILES, OWN])
    check_weights(folder, verify=True)
    assert own_files(folder) == [OWN]


@pytest.mark.parametrize("likeness", ["{}", '{"radius": 1.0}'])
def test_a_network_beside_its_class_s_must_be_listed_there_and_say_what_it_is_for(folder, likeness):
    header(folder / OWN, "hover", f'{{"network": {{}}, "diameter": 28, "likeness": {likeness}}}')
    assert f"no line for {OWN}" in refused(folder)
    write_checksums(folder, [*FILES, OWN])
    assert f"{OWN}: does not say which images it is for" in refused(folder, listed=False)
    (folder / OWN).unlink()
    assert f"{OWN}: no such weights file" in refused(folder, listed=False)
