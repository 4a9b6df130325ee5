"""The networks: shapes in, shapes out. They know no loss, no optimiser and no family."""
