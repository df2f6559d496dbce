"""The guardrails of staged rollouts, a TOML file of their own: operators change them, not shops."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from jobs.config.mistakes import told
from lakehouse.errors import ConfigurationError
from serving.format.guardrails import Guardrails


def load_guardrails(path: Path | None) -> Guardrails | None:
    """Read and check the file of ``[serving] guardrails``, where there is one.

    Raises ``ConfigurationError`` with every mistake of it.
    """
    if path is None:
        return None
    try:
        given = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"serving.guardrails: cannot read {path}: {error.strerror}. Correct the path, or leave "
            "it out to have no guardrails."
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        return Guardrails.model_validate(given)
    except ValidationError as error:
        lines = "".join(f"\n  {line}" for line in told(error, Guardrails, given, ()))
        raise ConfigurationError(f"{path} has {error.error_count()} mistake(s):{lines}") from None
