"""Pure Spark transforms from silver tables to gold features: no I/O, no configuration, no clock."""
