"""MLflow: runs, versions, decisions; the only importer of it."""
