"""The families: one file per paper, its model and its training step. ``FAMILIES`` names what
``--family`` takes.
"""

from augmentor.families import (
    aegan,
    cvae_gan,
    gan,
    ip_gan,
    pixel_cnn,
    triple_gan,
    vae,
    vae_gan,
    wae_gan,
    wgan,
)
from augmentor.families.family import Family

FAMILIES = {
    "cvae_gan": Family(
        cvae_gan.CvaeGan,
        cvae_gan.CvaeGanTrainer,
        cvae_gan.PRESETS,
        takes_conditions=True,
        across_processes=True,
    ),
    "vae": Family(vae.Vae, vae.VaeTrainer, vae.VAE_PRESETS, takes_conditions=True),
    "cvae": Family(vae.Vae, vae.VaeTrainer, vae.CVAE_PRESETS, takes_conditions=True),
    "gan": Family(gan.Gan, gan.GanTrainer, gan.GAN_PRESETS),
    "cgan": Family(gan.Gan, gan.GanTrainer, gan.CGAN_PRESETS),
    "lsgan": Family(gan.Gan, gan.GanTrainer, gan.LSGAN_PRESETS),
    "fm_cgan": Family(gan.Gan, gan.GanTrainer, gan.FM_CGAN_PRESETS),
    "wgan": Family(wgan.Wgan, wgan.WganTrainer, wgan.WGAN_PRESETS),
    "wgan_gp": Family(wgan.Wgan, wgan.WganTrainer, wgan.WGAN_GP_PRESETS),
    "vae_gan": Family(vae_gan.VaeGan, vae_gan.VaeGanTrainer, vae_gan.PRESETS),
    "wae_gan": Family(wae_gan.WaeGan, wae_gan.WaeGanTrainer, wae_gan.PRESETS),
    "aegan": Family(aegan.Aegan, aegan.AeganTrainer, aegan.PRESETS),
    "ip_gan": Family(ip_gan.IpGan, ip_gan.IpGanTrainer, ip_gan.PRESETS),
    "pixel_cnn": Family(pixel_cnn.PixelCnn, pixel_cnn.PixelCnnTrainer, pixel_cnn.PRESETS),
    "triple_gan": Family(triple_gan.TripleGan, triple_gan.TripleGanTrainer, triple_gan.PRESETS),
}
