"""``python -m pipelines.cli`` is ``augmentor``."""

import sys

from pipelines.cli import main

sys.exit(main())
