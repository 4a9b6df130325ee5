"""The job ``gain``: its arms, what each of them is, what ``auto`` does, verdict, report and summary."""
