"""Every view of the page in a real browser: small and large, light and dark, in two languages, with and without scripts.

What it guards: a join appears within 2 s without a reload; names that try to be markup stay text; nothing outside of the
listener is asked for; the policy holds; axe-core finds no violation; a token opens no more than its scope.
"""

import sys
import time

from daemon import BOARD, COUNTS, INITIALS, NAMES, TOKEN, VIEWER, Daemon
from playwright.sync_api import sync_playwright

AXE = open(__import__("os").environ["PRESENCED_AXE"]).read()
SIZES = [(390, 844, "light", "en"), (1280, 800, "dark", "zh-CN"), (1920, 1080, "light", "zh-CN")]


def watched(context, base, complaints):
    """A page whose every complaint is kept."""
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith((base + "/", "data:")) else complaints.append(request.url))
    return page


def paths(daemon):
    daemon.until(lambda: daemon.json("/api/v1/meetings")["meetings"], "no meeting is seen")
    meeting = daemon.json("/api/v1/meetings")["meetings"][0]["meeting"]
    return ["/", "/?kiosk=1", "/day", "/day?at=00:01", f"/meeting/{meeting}", "/person/1", "/webhooks", "/webhooks/bad",
            "/calls", "/health"], meeting


def every_view(browser, daemon, state, views):
    for width, height, scheme, language in SIZES:
        complaints = []
        context = browser.new_context(storage_state=state, viewport={"width": width, "height": height},
                                      color_scheme=scheme, locale=language, reduced_motion="reduce")
        page = watched(context, daemon.base, complaints)
        for path in views:
            answer = page.goto(daemon.base + path)
            assert answer.status == 200, (path, answer.status)
            assert "bitten" not in page.title(), path
            assert page.evaluate("document.documentElement.lang") == language, path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width, "is wider than the screen")
            # Scripts of the page itself are not evaluated by the policy; those of the driver are.
            page.evaluate(AXE)
            result = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})")
            bad = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in result["violations"]]
            assert not bad, (path, width, scheme, bad)
        assert not complaints, (width, scheme, language, complaints)
        context.close()


def a_join_appears(browser, daemon, state):
    complaints = []
    context = browser.new_context(storage_state=state, viewport={"width": 1280, "height": 800})
    page = watched(context, daemon.base, complaints)
    page.goto(daemon.base + "/")
    page.wait_for_selector("#live.on")
    page.evaluate("window.sameDocument = true")
    page.wait_for_selector("#free >> text=Late Larsson", timeout=70_000)
    page.wait_for_selector(".meeting >> text=Late Larsson", timeout=70_000)
    shown = time.time()
    event = [e for e in daemon.json("/api/v1/events?user=u-late&type=meeting.participant_joined")["events"]][-1]
    recorded = __import__("datetime").datetime.fromisoformat(event["recordedtime"].replace("Z", "+00:00")).timestamp()
    assert shown - recorded < 2, f"the join appeared after {shown - recorded:.1f} s"
    assert page.evaluate("window.sameDocument"), "the page was loaded again"
    assert not complaints, complaints
    print(f"a join appeared {shown - recorded:.2f} s after it was recorded")
    context.close()


def without_scripts(browser, daemon, state, views):
    context = browser.new_context(storage_state=state, java_script_enabled=False)
    page = context.new_page()
    for path in views:
        assert page.goto(daemon.base + path).status == 200, path
    page.goto(daemon.base + "/")
    for name in ("Late Larsson", "张敏"):
        assert page.locator(f"text={name}").count() >= 1, name
    page.goto(daemon.base + "/webhooks/good")
    page.click("button:has-text('Pause')")
    page.wait_for_selector(".done >> text=up -> paused")
    page.click("button:has-text('Resume')")
    page.wait_for_selector(".done >> text=paused -> up")
    page.click("button:has-text('Send a test')")
    page.wait_for_selector(".done >> text=accepted")
    context.close()


def names_stay_text(daemon, meeting):
    for path in ("/", "/day", f"/meeting/{meeting}", "/person/1"):
        body = daemon.get(path)[1]
        for wrong in ("<script>document", "<img src=x", "<svg onload", "<b>bold"):
            assert wrong not in body, (path, wrong)
    csv = daemon.get(f"/meeting/{meeting}.csv")[1]
    cells = [cell.strip('"') for line in csv.splitlines() for cell in line.split(",")]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))], csv


def scopes_hold(daemon, meeting):
    names = list(NAMES.values())

    def opens(token, *wanted):
        all_paths = ["/", "/day", f"/meeting/{meeting}", "/webhooks", "/calls", "/health", "/api/v1/now", "/api/v1/users",
                     "/api/v1/visits", "/api/v1/events", "/api/v1/webhooks", "/api/v1/health", "/api/v1/budget"]
        opened = {path for path in all_paths if daemon.get(path, token)[0] == 200}
        assert opened == set(wanted), (token, opened)

    history = ["/day", f"/meeting/{meeting}"]
    opens("wrong")
    opens(BOARD, "/", "/api/v1/now")
    opens(VIEWER, "/", *history, "/api/v1/now", "/api/v1/users", "/api/v1/visits", "/api/v1/events")
    opens(INITIALS, "/", *history, "/api/v1/now", "/api/v1/users", "/api/v1/visits")
    opens(COUNTS, "/", "/api/v1/now")
    for token, paths in ((INITIALS, ["/", "/day", "/api/v1/now", "/api/v1/users", "/api/v1/visits"]), (COUNTS, ["/", "/api/v1/now"])):
        for path in paths:
            body = daemon.get(path, token)[1]
            for shown in ["Larsson", "张敏", "u-late", "Rita"]:
                assert shown not in body, (token, path, shown)
    assert daemon.json("/api/v1/now", COUNTS)["now"] == []
    assert names


def signing_in(browser, daemon):
    link = daemon.link()
    context = browser.new_context()
    page = context.new_page()
    assert page.goto(daemon.base + "/").status == 401
    page.goto(link)
    page.wait_for_url(daemon.base + "/")
    page.wait_for_selector(".totals")
    cookie = next(cookie for cookie in context.cookies() if cookie["name"] == "presenced")
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
    state = context.storage_state()
    second = browser.new_context().new_page()
    assert second.goto(link).status == 422, "a link works once"
    second.goto(daemon.base + "/?token=" + BOARD)
    assert "token" not in second.url and second.locator(".totals").count() == 1, second.url
    # A form that another site has made is refused.
    answer = context.request.post(daemon.base + "/webhooks/good/pause", form={"form": "guessed"})
    assert answer.status == 403, answer.status
    return state


with Daemon(sys.argv[1]) as daemon, sync_playwright() as playwright:
    began = time.time()
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    daemon.until(lambda: daemon.json("/api/v1/now")["counts"]["inside"] >= 1, "no user is inside")
    state = signing_in(browser, daemon)
    views, meeting = paths(daemon)
    names_stay_text(daemon, meeting)
    scopes_hold(daemon, meeting)
    every_view(browser, daemon, state, views)
    without_scripts(browser, daemon, state, views)
    a_join_appears(browser, daemon, state)
    browser.close()
    print(f"views: {len(views)} at {len(SIZES)} sizes in {time.time() - began:.0f} s")
