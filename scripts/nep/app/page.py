"""The page: rendered once with autoescape, under a policy that lets no other script run and nothing else be loaded."""

from pathlib import Path

from nep.app.videos import MOST_BYTES
from nep.report.rendering import template
from nep.rows.question import LETTERS
from nep.web.handler import policy

HERE = Path(__file__).parent


def render_app(run: str, token: str, is_public: bool) -> tuple[str, str]:
    """The page and its policy. A page for all may be shown inside another one, as hubs show it."""
    page = template("app.html", HERE, "app.js")
    html = page.render(run=run, token=token, is_public=is_public, letters=LETTERS, most=MOST_BYTES)
    framed_by = "*" if is_public else "'none'"
    return html, policy(page.globals["script_hash"], images="img-src data:; ", framed_by=framed_by)
