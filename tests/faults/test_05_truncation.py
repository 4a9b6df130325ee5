"""Every file of a checkpoint cut off at 64 places."""

from __future__ import annotations

import torch

from augmentor.training.checkpoint import load_checkpoint, save_checkpoint

PLACES = 64


def test_a_truncated_checkpoint_is_passed_over_and_the_file_named(tmp_path, tally):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"n": step}, {"weight": torch.full((50,), float(step))})
    files = sorted((tmp_path / "step-00000002").iterdir())
    assert [path.name for path in files] == ["manifest.json", "state.json", "tensors.safetensors"]
    for path in files:
        whole, survived = path.read_bytes(), 0
        for place in range(PLACES):
            path.write_bytes(whole[: len(whole) * place // PLACES])
            found = load_checkpoint(tmp_path)
            named = len(found.passed_over) == 1 and str(path) in found.passed_over[0]
            survived += found.step == 1 and found.meta == {"n": 1} and named
        path.write_bytes(whole)
        tally(
            PLACES,
            survived,
            f"{path.name} of a checkpoint truncated: the one before is loaded, the file named",
        )
        assert survived == PLACES
    assert load_checkpoint(tmp_path).step == 2
