"""Landing files as bronze rows: mappings, the files' formats, their register."""
