"""What an encoder allows: images taken apart into label and latent, and put together otherwise."""
