"""The jobs: the only place where augmentor, downstream, YAML and click meet."""
