"""training.runs: where a run keeps its networks."""

from training.runs import finetuned, pretrained, router


def test_places(tmp_path):
    """A separate pre-training goes before the joint one."""
    assert finetuned(tmp_path, 1, "hover") == tmp_path / "class1-hover" / "hover.safetensors"
    assert router(tmp_path) == tmp_path / "router" / "router.safetensors"
    assert pretrained(tmp_path, "hover") == tmp_path / "pretrain" / "hover.safetensors"
    (tmp_path / "pretrain-hover").mkdir()
    (tmp_path / "pretrain-hover" / "hover.safetensors").touch()
    assert pretrained(tmp_path, "hover") == tmp_path / "pretrain-hover" / "hover.safetensors"
    assert pretrained(tmp_path, "stardist") == tmp_path / "pretrain" / "stardist.safetensors"


def test_a_joint_training_itself(tmp_path):
    """Its networks lie in the folder; a folder of the protocol goes before."""
    (tmp_path / "hover.safetensors").touch()
    assert pretrained(tmp_path, "hover") == tmp_path / "hover.safetensors"
    (tmp_path / "pretrain").mkdir()
    (tmp_path / "pretrain" / "hover.safetensors").touch()
    assert pretrained(tmp_path, "hover") == tmp_path / "pretrain" / "hover.safetensors"
