"""The web page at `/` in a headless Chromium: it sends, streams, stops, regenerates and edits; on a desktop and on a phone.

    scripts/checks/setup.sh && .build/checks/bin/python scripts/checks/page.py [FOLDER for screenshots]

Needs a Chromium: $CHROMIUM, or /usr/bin/chromium. Look at the screenshots; they are not kept in the repository.
"""

import os
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

from server import NAME, Cases, Server

STORY = "Tell me a long story about a bird that never lands."


def until(holds, seconds=15):
    """The page's policy forbids what playwright's own wait_for_function does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.03)


def main():
    cases = Cases()
    folder = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="page-")
    os.makedirs(folder, exist_ok=True)
    with Server() as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        for kind, size, scheme in [("desktop", (1280, 800), "light"), ("phone", (390, 844), "dark")]:
            context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, has_touch=kind == "phone")
            page = context.new_page()
            problems, asked = [], []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
            page.on("request", lambda request: asked.append(request.url))
            run(cases, server, page, kind, lambda name: page.screenshot(path=os.path.join(folder, f"{kind}-{name}.png")), problems, asked)
            context.close()
        cases.run("a key is asked for and used", lambda: with_key(browser))
        cases.run("a server that is gone", lambda: gone(browser))
        browser.close()
    print(f"screenshots: {folder}")
    cases.finish()


def run(cases, server, page, kind, shot, problems, asked):
    def last():
        return page.locator("article.assistant").last

    def body_of(article):
        return article.locator("div").first.inner_text()

    def send(text):
        page.fill("#text", text)
        page.press("#text", "Enter")

    def wait_done(seconds=60):
        page.wait_for_selector("#send:visible", timeout=seconds * 1000)

    def loads():
        page.goto(server.url)
        until(lambda: page.inner_text("#status").startswith("ready"))
        assert page.inner_text("#model") == NAME and page.title() == "Martlet"
        assert page.evaluate("document.activeElement.id") == "text", "the message has the focus"
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, f"{overflow} pixels too wide"
        shot("empty")

    def answers():
        page.evaluate("document.querySelector('details').open = true")
        page.fill("#temperature", "0")
        page.fill("#max_tokens", "48")
        page.evaluate("document.querySelector('details').open = false")
        send("What is the capital of France?")
        wait_done()
        assert body_of(last()).strip() == "The capital of France is Paris.", body_of(last())
        note = last().locator("footer").inner_text()
        assert "8 tokens" in note and "tok/s" in note, note
        assert page.text_content("[role=status]") == "The capital of France is Paris."
        assert page.locator("article.user").count() == 1 and page.input_value("#text") == ""
        shot("answer")

    def streams():
        page.evaluate("document.getElementById('max_tokens').value = '400'")
        send(STORY)
        page.wait_for_selector("#stop:visible")
        lengths = set()
        deadline = time.monotonic() + 20
        while len(lengths) < 6 and time.monotonic() < deadline:
            lengths.add(len(body_of(last())))
            time.sleep(0.03)
        assert len(lengths) >= 6, f"the text grows as it comes: {lengths}"
        assert server.metrics().value("num_requests_running") == 1
        shot("streaming")

    def stops():
        page.click("#stop")
        wait_done(5)
        took = server.wait_idle()
        text = body_of(last())
        assert "stopped" in last().locator("footer").inner_text() and len(text) > 10
        time.sleep(0.3)
        assert body_of(last()) == text, "nothing comes behind a stop"
        shot("stopped")
        return f"rows free after {took * 1000:.0f} ms"

    def regenerates():
        page.evaluate("document.getElementById('max_tokens').value = '60'")
        page.evaluate("document.getElementById('temperature').value = '1'")
        count = page.locator("article").count()
        before = body_of(last())
        last().get_by_role("button", name="Regenerate").click()
        page.wait_for_selector("#stop:visible")
        wait_done()
        assert page.locator("article").count() == count and body_of(last()) != before
        assert page.get_by_role("button", name="Regenerate").count() == 1, "for the last answer only"

    def edits():
        page.get_by_role("button", name="Edit").first.click()
        assert page.locator("article").count() == 0 and page.input_value("#text") == "What is the capital of France?"
        page.evaluate("document.getElementById('temperature').value = '0'")
        send("What is the capital of Italy?")
        wait_done()
        assert page.locator("article.user").all_inner_texts()[0].count("Italy") == 1 and page.locator("article").count() == 2
        assert len(body_of(last())) > 3

    def escape_stops():
        page.evaluate("document.getElementById('max_tokens').value = '2000'")
        send(STORY)
        page.wait_for_selector("#stop:visible")
        page.keyboard.press("Escape")
        wait_done(5)
        server.wait_idle()

    def markup_is_text():
        page.evaluate("document.getElementById('max_tokens').value = '2'")
        send("<img src=x onerror=\"document.title='owned'\"> **bold** `code`\n```\n<b>block</b>\n```\n1. one\n2. two")
        wait_done()
        user = page.locator("article.user").last
        assert user.locator("img").count() == 0 and page.title() == "Martlet"
        assert user.locator("strong").inner_text() == "bold" and user.locator("pre code").inner_text() == "<b>block</b>"
        assert user.locator("ol li").count() == 2
        shot("markdown")

    def errors_are_shown():
        page.evaluate("document.getElementById('temperature').value = '-1'")
        send("Hi")
        wait_done()
        assert "temperature" in page.locator("article.error").last.inner_text()
        problems[:] = [p for p in problems if "400" not in p]
        shot("error")

    def errors_are_tried_again():
        count = page.locator("article").count()
        page.evaluate("document.getElementById('temperature').value = '0'")
        page.get_by_role("button", name="Retry").click()
        wait_done()
        assert page.locator("article.error").count() == 0 and page.locator("article").count() == count
        assert len(body_of(last())) > 0

    def by_keyboard():
        page.evaluate("document.getElementById('temperature').value = '0'")
        page.get_by_role("button", name="New").click()
        assert page.locator("article").count() == 0
        page.focus("#text")
        names = []
        for _ in range(4):
            page.keyboard.press("Tab")
            names.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert {"attach", "send", "clear"} <= set(names), names
        unnamed = page.evaluate("""[...document.querySelectorAll('button, input, textarea')].filter(e =>
            !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels && e.labels.length)).map(e => e.id)""")
        assert unnamed == [], unnamed
        # An answer is told once, when it is there: as it grows it would be read again and again.
        assert page.locator("[aria-live]").count() == 0 and page.locator("[role=status]").count() == 1

    def images_are_offered():
        page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n"})
        until(lambda: "1" in page.inner_text("#attach"))
        send("What is this?")
        wait_done()
        assert "image" in page.locator("article.error").last.inner_text(), "this model does not see"
        problems[:] = [p for p in problems if "400" not in p and "ERR_" not in p]

    def nothing_from_elsewhere():
        elsewhere = [u for u in asked if not u.startswith((server.url, "data:", "blob:"))]
        assert elsewhere == [] and problems == [], (elsewhere, problems)

    def routes_are_described():
        page.goto(f"{server.url}/docs")
        page.wait_for_selector("details")
        assert page.locator("details").count() >= 20
        page.locator("summary").first.click()
        assert "messages" in page.locator("pre").first.inner_text()
        shot("docs")

    for name, body in list(locals().items()):
        if callable(body) and name not in ("cases", "shot", "last", "body_of", "send", "wait_done"):
            cases.run(f"{kind}: {name}", body)


def with_key(browser):
    with Server("--api-key", "page-key") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url)
        until(lambda: "key" in page.inner_text("#status"))
        page.evaluate("document.querySelector('details').open = true")
        page.fill("#key", "page-key")
        page.press("#key", "Tab")
        until(lambda: page.inner_text("#status").startswith("ready"))
        page.fill("#temperature", "0")
        page.fill("#text", "What is the capital of France?")
        page.press("#text", "Enter")
        until(lambda: "tokens" in (page.locator("article.assistant footer").all_inner_texts() or [""])[0])
        assert "Paris" in page.locator("article.assistant").inner_text()
        context.close()


def gone(browser):
    server = Server().start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    until(lambda: page.inner_text("#status").startswith("ready"))
    server.stop()
    page.fill("#text", "Hello?")
    page.press("#text", "Enter")
    page.wait_for_selector("article.error")
    until(lambda: page.inner_text("#status") == "not reachable")
    context.close()


if __name__ == "__main__":
    main()
