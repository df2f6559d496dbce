"""The names of metrics in MLflow."""


def metric_name(name: str) -> str:
    """``name`` as MLflow takes it: no ``@`` and, for ease of use, no spaces."""
    return name.replace("@", "_at_").replace(" ", "_")


def deciding(measure: str, list_name: str) -> str:
    """The metric of a run that holds a measure of a list as published, or its gain.

    Sorted by name, as columns and charts are, the lists come before all other metrics.
    """
    return f"{list_name}/{metric_name(measure)}"
