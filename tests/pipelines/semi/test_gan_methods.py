import pytest
import torch

from augmentor.common.types import LabelledImages
from pipelines.config import ClassifierConfig, Config, SemiConfig, SourceConfig
from pipelines.interrupt import Interrupted
from pipelines.semi.gan_methods import head_cvae_gan, improved_gan
from pipelines.semi.methods import SemiTask

CLASSES = ("a", "b", "c")
CONFIG = Config(
    source=SourceConfig(
        steps=3, batch_size=6, options={"width": 4, "latent_dim": 4, "bfloat16": False}
    ),
    device="cpu",
)
METHODS = pytest.mark.parametrize("method", [improved_gan, head_cvae_gan])


def rows(n, seed):
    """Noise with a bright row that tells the class."""
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 0.2 - 1
    x[torch.arange(n), 0, 2 * y] = 1.0
    return LabelledImages(x, y, CLASSES)


def task(on_step=lambda *_: None, seed=0, steps=2):
    classifier = ClassifierConfig(steps=steps, batch_size=6)
    config = CONFIG.model_copy(
        update={"semi": SemiConfig(gan_steps=steps), "classifier": classifier}
    )
    return SemiTask(rows(6, 0), rows(30, 1).x, config, seed, on_step)


@METHODS
def test_the_classes_are_learnt_and_every_step_is_reported(method):
    seen = []
    predict = method(
        task(lambda step, steps, values: seen.append((step, steps, dict(values))), steps=30)
    )
    test = rows(12, 2)
    logits = predict(test.x)
    assert logits.shape == (12, 3)
    assert logits.argmax(dim=1).tolist() == test.y.tolist()
    own = [(step, steps) for step, steps, values in seen if values]
    assert own == [(step, 30) for step in range(1, 31)]
    assert {"labelled", "game"} <= set(seen[-1][2])


@METHODS
def test_equal_seeds_give_equal_logits_and_the_global_state_stays(method):
    state = torch.random.get_rng_state()
    first, second = (method(task())(rows(6, 3).x) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.equal(first, method(task(seed=1))(rows(6, 3).x))


@METHODS
def test_a_signal_ends_the_training(method):
    def stop(*_):
        raise Interrupted(15)

    with pytest.raises(Interrupted):
        method(task(stop))
