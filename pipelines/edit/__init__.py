"""The jobs ``edit …``: image files edited by a trained source, and what such edits are worth."""
