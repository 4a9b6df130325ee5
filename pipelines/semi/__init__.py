"""The job ``semi``: error of semi-supervised methods against the number of labels."""
