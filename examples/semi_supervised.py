"""Twenty labels and 881 unlabelled images: what do semi-supervised methods make of them?

Trains five methods on the same two labelled subsets of digits (about a minute on a CPU) and prints
a table. The command line asks the same, with its own steps: ``augmentor semi --data digits --labels
20 --subsets 2 --methods supervised,classical,pseudo_label,fixmatch,graph_fixmatch``.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.config import config_from
from pipelines.semi.run import semi_run
from pipelines.semi.tables import semi_table


def main(steps: int = 300) -> dict[str, Any]:
    """The contents of semi.json: errors on the test half, and paired differences."""
    methods = ["supervised", "classical", "pseudo_label", "fixmatch", "graph_fixmatch"]
    config = config_from(
        {
            "data": {"data": "digits"},
            "classifier": {"steps": steps},
            "semi": {"labels": [20], "subsets": 2, "methods": methods, "consistency_steps": steps},
            "device": "cpu",
            "threads": 1,  # two threads only get in each other's way on networks this small
        }
    )
    with (
        TemporaryDirectory() as folder
    ):  # give a folder of your own to keep the report, and to go on where it ended
        return semi_run(config, Path(folder))


if __name__ == "__main__":
    result = main()
    print(semi_table(result))
    print(result["verdict"])
