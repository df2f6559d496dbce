"""Spark's alternating least squares as a recommender like the others."""

from typing import ClassVar

import pytest
from pyspark.sql import SparkSession

from tests.models.recommenders.test_models_conformance import PersonalConformance


@pytest.fixture(autouse=True, scope="module")
def session(spark: SparkSession) -> SparkSession:
    return spark


class TestSparkAls(PersonalConformance):
    kind = "spark_als"
    parameters: ClassVar = {"factors": 4, "iterations": 5, "blocks": 1}
