"""Draws the pictures of docs/dashboard.md: pages of the dashboard beside a real node-loss, as SVG.

    .venv/bin/python -m tools.dashboard_pictures

The SVG holds the page as it is, with the rules of its style sheet that it needs: it is text, small, and light or dark
as its reader prefers. Needs Debian's chromium; takes about a minute and a half.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.e2e.home import ROOT, start
from tests.web.chromium import Chromium, Page
from tests.web.served import Served

WIDTH = 1100
WITHIN_S = 300.0
DRAW = """
(() => {
  const shown = document.documentElement;
  const style = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules]);
  for (const one of shown.querySelectorAll('main section:has(form), form, footer, .skip, .switch')) one.remove();
  for (const one of shown.querySelectorAll('a')) one.removeAttribute('href');
  const used = (rule) => {
    if (rule.selectorText)
      return rule.selectorText.split(',').some((one) => {
        const plain = one.replace(/:{1,2}(hover|focus|focus-visible|root|before|after|marker|-webkit-[a-z-]+)/g, '');
        return plain.trim() === '' || shown.querySelector(plain) || shown.matches(plain);
      }) ? rule.cssText : '';
    if (rule instanceof CSSMediaRule) {
      const within = [...rule.cssRules].map(used).join('');
      return within && `@media ${rule.conditionText} {${within}}`;
    }
    return '';
  };
  const body = new XMLSerializer().serializeToString(shown.querySelector('body'));
  const height = Math.ceil(document.querySelector('main').getBoundingClientRect().bottom + scrollY);
  const plain = body.replace(/>\\s+</g, '> <');
  const rules = style.map(used).join('\\n');
  const size = `width="${innerWidth}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${innerWidth} ${height}">\\n` +
    `<style><![CDATA[${rules}]]></style>\\n<foreignObject ${size}>${plain}</foreignObject>\\n</svg>\\n`;
})()
"""


def draw(page: Page, path: Path) -> None:
    """The page as it is now, without what is there to be pressed; it is of no use afterwards."""
    path.write_text(str(page.js(DRAW)), encoding="utf-8")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="tierdrill-"))
    try:
        with Served(folder / "home", ROOT) as web, Chromium() as browser:
            now, run = browser.page(), browser.page()
            for page in (now, run):
                page.show_as(WIDTH, 900)
                page.sign_in(web.url, web.token("ada", "operator"))
            drill = start(web.home, "run", "node-loss")
            run.sees("Drills running", WITHIN_S)
            run.click("node-loss")
            now.sees("node power loss on node-1: landed", WITHIN_S)
            now.sees("reschedule-critical", WITHIN_S)
            draw(now, ROOT / "docs" / "dashboard-now.svg")
            draw(run, ROOT / "docs" / "dashboard-run.svg")
            drill.wait(WITHIN_S)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
