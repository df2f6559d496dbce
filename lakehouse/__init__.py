"""Tables, errors, the Spark session and Delta access: the ground every other package stands on."""
