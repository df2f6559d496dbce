"""Templates as HTML, and the headers of every page."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.api.problems import ProblemError

TEMPLATES: Final = Path(__file__).with_name("templates")
# A page may load the console's own style sheet and icon, and nothing else.
PAGE_HEADERS: Final = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}

_templates: Final = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def rendered(template: str, **content: Any) -> str:  # noqa: ANN401 (whatever a template shows)
    """A page's HTML."""
    return _templates.get_template(template).render(content)


def problem_page(problem: ProblemError, request_id: str) -> tuple[bytes, dict[str, str]]:
    """What a person is told instead of the page asked for: body and headers."""
    body = rendered("problem.html", problem=problem, request_id=request_id)
    return body.encode(), dict(PAGE_HEADERS)


def _number(value: float) -> str:
    return f"{value:,}"


def _per_cent(share: float) -> str:
    return f"{share:.1%}".replace("%", "\N{NARROW NO-BREAK SPACE}%")


_templates.filters |= {"number": _number, "per_cent": _per_cent}
