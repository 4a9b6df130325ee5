"""The jobs ``gain``, ``demo`` and ``summary``: arms, what each of them is, what ``auto`` does, verdict, reports."""
