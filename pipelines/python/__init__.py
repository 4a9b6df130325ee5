"""The jobs as functions of objects: data sets, arrays and tables in, results out."""
