"""Key-value stores, releases and look-ups; no Spark, MLflow or LightFM."""
