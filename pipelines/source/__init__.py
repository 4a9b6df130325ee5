"""Sources as runs: their training, their sets, their quality."""
