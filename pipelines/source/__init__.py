"""Sources as runs: their training, their sets, their quality, and labels for the images without."""
