"""Reading and writing the lake: by Spark, or by Arrow without a JVM."""
