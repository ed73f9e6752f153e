"""Draws docs/board.png for the README from `presenced demo --page`.

usage: PATH with the venv of tests/page/run; python tests/page/screenshot.py BINARY
"""

import pathlib
import re
import subprocess
import sys

from playwright.sync_api import sync_playwright

TARGET = pathlib.Path(__file__).parents[2] / "docs" / "board.png"
# When the script of the demo has two meetings with most people in them.
PEOPLE = 5
# Until the mark of the newest join has faded.
CALM_MS = 1_700

demo = subprocess.Popen([sys.argv[1], "demo", "--page", "--speed", "20", "--seconds", "90"], stdout=subprocess.PIPE, text=True)
link = next(match.group() for line in demo.stdout if (match := re.search(r"http://\S+", line)))
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1200, "height": 560}, device_scale_factor=1.5, locale="en")
    page.goto(link)
    page.wait_for_selector("#live.on")
    page.locator(".meeting .person").nth(PEOPLE - 1).wait_for(timeout=80_000)
    page.wait_for_timeout(CALM_MS)
    page.screenshot(path=TARGET)
    browser.close()
demo.kill()
demo.wait()
print(f"wrote {TARGET}")
