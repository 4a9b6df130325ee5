"""The job ``evaluate``: what the images of one source are worth."""
