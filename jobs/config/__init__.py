"""One TOML file and the environment as typed settings."""
