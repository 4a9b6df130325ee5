"""The job ``verify``: networks that tell people, with and without synthetic images."""
