"""The families: one file a paper, its model and its training step."""

from augmentor.families.cvae_gan import CvaeGan, CvaeGanOptions, CvaeGanTrainer

FAMILIES = {"cvae_gan": (CvaeGan, CvaeGanOptions, CvaeGanTrainer)}
