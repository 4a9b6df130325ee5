"""The job ``compare``: families beside each other, at one budget and by one judge."""
