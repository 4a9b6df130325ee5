"""Many finished runs of ``gain`` and ``verify`` side by side."""
