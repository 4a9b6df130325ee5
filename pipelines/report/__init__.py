"""Report pages: one template engine, one style, cards and charts for every job."""
