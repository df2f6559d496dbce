"""How releases and their lists lie in a store: values and rules without I/O."""
