"""What is known beside the class: read from metadata or folders, given to images, and counted."""
