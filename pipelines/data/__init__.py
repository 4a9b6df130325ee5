"""From the name of a data set, or a folder, to its images: everything before a regime draws labels.

``table`` is the one list of names; a file per kind of source reads them into a ``FullData``.
"""
