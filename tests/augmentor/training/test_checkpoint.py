import pickle

import pytest
import torch

from augmentor.common.types import DataError
from augmentor.training.checkpoint import load_checkpoint, save_checkpoint

META = {"family": "fake", "classes": ["a", "ü"]}


def state(value=1.0):
    model = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(model.weight, value)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1, betas=(0.5, 0.9))
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    image = torch.arange(16.0).view(1, 2, 2, 4).contiguous(memory_format=torch.channels_last)
    return {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "image": image,
        "none": None,
        "n": 3,
    }


def test_what_is_loaded_is_what_was_saved(tmp_path):
    saved = state()
    save_checkpoint(tmp_path, 7, META, saved)
    loaded = load_checkpoint(tmp_path)
    assert (loaded.step, loaded.meta, loaded.passed_over) == (7, META, ())
    assert loaded.state["n"] == 3
    assert loaded.state["none"] is None
    assert torch.equal(loaded.state["image"], saved["image"])
    assert loaded.state["image"].stride() == saved["image"].stride()
    for name, tensor in saved["model"].items():
        assert torch.equal(loaded.state["model"][name], tensor)
    optimiser = torch.optim.Adam(torch.nn.Linear(2, 2).parameters())
    optimiser.load_state_dict(loaded.state["optimiser"])
    assert optimiser.state_dict()["state"][0]["step"] == 1
    assert optimiser.param_groups[0]["lr"] == 0.1


def test_the_newest_are_kept_and_the_last_is_loaded(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, META, state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-00000002",
        "step-00000003",
    ]
    assert load_checkpoint(tmp_path).step == 3
    assert load_checkpoint(tmp_path / "step-00000002").step == 2


def test_a_run_resumed_behind_a_corrupted_checkpoint_keeps_two_intact_ones(tmp_path):
    save_checkpoint(tmp_path, 250, META, state(250))
    damaged = save_checkpoint(tmp_path, 500, META, state(500)) / "state.json"
    damaged.write_bytes(b"damaged")
    assert load_checkpoint(tmp_path).step == 250
    save_checkpoint(tmp_path, 300, META, state(300))
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        "step-00000250",
        "step-00000300",
    ]


def test_saving_a_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 1, META, state(1))
    save_checkpoint(tmp_path, 1, META, {"n": 5})
    assert load_checkpoint(tmp_path).state == {"n": 5}


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_corrupted_checkpoint_is_passed_over_and_named(tmp_path, name, damage):
    save_checkpoint(tmp_path, 1, META, state(1))
    victim = save_checkpoint(tmp_path, 2, META, state(2)) / name
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    victim.unlink()
    if damage != "remove":
        victim.write_bytes(content[: -1 if damage == "truncate" else None])
    loaded = load_checkpoint(tmp_path)
    assert loaded.step == 1
    assert any("step-00000002" in line for line in loaded.passed_over)


def test_nothing_intact_is_an_error_that_names_the_files(tmp_path):
    folder = save_checkpoint(tmp_path, 1, META, state())
    (folder / "tensors.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"step-00000001/tensors.safetensors"):
        load_checkpoint(tmp_path)
    with pytest.raises(DataError, match="train first"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_pickle_in_the_place_of_tensors_is_never_run(tmp_path):
    folder = save_checkpoint(tmp_path, 1, META, state())
    sentinel = tmp_path / "sentinel"

    class Evil:
        def __reduce__(self):
            return sentinel.write_text, ("run",)

    (folder / "tensors.safetensors").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError):
        load_checkpoint(tmp_path)
    assert not sentinel.exists()


def test_a_failed_save_leaves_the_former_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, META, state())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("augmentor.training.checkpoint.publish_folder", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, 2, META, state())
    assert load_checkpoint(tmp_path).step == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001"]


def test_what_lies_beside_the_checkpoints_stays(tmp_path):
    (tmp_path / "step-best").mkdir()
    (tmp_path / "step-notes.txt").write_text("mine")
    for step in (99_999_998, 99_999_999, 100_000_000):
        save_checkpoint(tmp_path, step, {}, state(), keep=2)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["step-100000000", "step-99999999", "step-best", "step-notes.txt"]
    assert load_checkpoint(tmp_path).step == 100_000_000
