"""The impure layer: one module per pipeline step, configuration, and the command line."""
