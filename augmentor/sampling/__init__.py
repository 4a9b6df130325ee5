"""From a trained source and a count per class to images: rendering, filters, mixed classes."""
