import pytest
import torch

from augmentor.networks.diff_augment import POLICIES, diff_augment


def images(n=6, channels=3):
    return torch.rand(n, channels, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_changes_images_keeps_shapes_and_passes_gradients(policy):
    x = images().requires_grad_()
    seen = diff_augment(x, (policy,), torch.Generator().manual_seed(0))
    assert seen.shape == x.shape
    assert not torch.equal(seen, x)
    seen.square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_rows_of_stacked_groups_get_the_same_draw():
    x = images(4)
    seen = diff_augment(torch.cat([x, x, x]), POLICIES, torch.Generator().manual_seed(0), copies=3)
    torch.testing.assert_close(seen[:4], seen[4:8])
    torch.testing.assert_close(seen[:4], seen[8:])


def test_translation_only_moves_pixels():
    x = -torch.ones(64, 1, 16, 16)
    x[:, :, 8, 8] = 1.0
    seen = diff_augment(x, ("translation",), torch.Generator().manual_seed(0))
    assert (seen == 1).sum(dim=(1, 2, 3)).tolist() == [1] * 64
    rows, columns = (seen == 1).nonzero()[:, 2], (seen == 1).nonzero()[:, 3]
    assert (
        set(rows.tolist()) == set(columns.tolist()) == {6, 7, 8, 9, 10}
    )  # 8 plus and minus an eighth of 16


def test_no_policy_leaves_images_as_they_are():
    assert torch.equal(diff_augment(images(), (), torch.Generator()), images())


def test_unknown_policies_and_groups_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="unknown policy"):
        diff_augment(images(), ("rotation",), torch.Generator())
    with pytest.raises(ValueError, match="do not divide"):
        diff_augment(images(4), (), torch.Generator(), copies=3)
