"""HTML pages from the templates of this folder; they share the style sheet of base.html.j2."""

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from video_gc.escape import readable_lines


def render(template: str, room: str = "analysis", **values: Any) -> str:
    """The page from a template of the room, such as table/page.html.j2; `values` are escaped."""
    environment = Environment(
        loader=PackageLoader(f"video_gc.{room}", "."),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return environment.get_template(template).render(**values)


def data_uri(content: bytes, kind: str) -> str:
    """A picture as the source of an `<img>`; kind: for example png."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _shown(value: object) -> object:
    """A text without invisible characters; pictures are markup and stay unchanged."""
    return readable_lines(value) if type(value) is str else value
