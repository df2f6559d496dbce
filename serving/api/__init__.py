"""The API that web and mobile clients call; the only importer of the web framework."""
