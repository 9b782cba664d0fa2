"""The board in a real browser: Debian's chromium, headless. Skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boards import EVIL, record, written

from unmix.board.entries import entries
from unmix.board.model import slug
from unmix.board.pages import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here (apt-get install chromium)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("out") / "site"
    build(output, entries(written(tmp_path_factory.mktemp("results"))))
    return output


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 1000 pixels; what the console or a script complains of fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800}, color_scheme="light")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    yield page
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def address(site: Path) -> str:
    """The address of the page of our own runs."""
    (path,) = [p for p in (site / "benchmarks").glob("*.html") if "ivae" in p.read_text(encoding="utf-8")]
    return path.as_uri()


def names(page: Any, group: str = "method") -> list[str]:
    """Methods of a group, as they stand, without those that are hidden."""
    rows = page.locator(f"tbody.{group} tr:not(.group):visible th a")
    return [str(text) for text in rows.all_text_contents()]


def test_sorting_by_click_and_by_keyboard_keeps_floors_apart(page: Any, address: str) -> None:
    page.goto(address)
    head = page.locator("th:has(button)", has_text="mcc")
    assert names(page) == ["tcl", "ivae"]  # by r2
    head.get_by_role("button").click()
    assert names(page) == ["ivae", "tcl"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page) == ["tcl", "ivae"]
    assert names(page, "floor") == ["noise", "pca"]
    assert names(page, "ceiling") == ["supervised"]
    assert page.locator("th[aria-sort]").count() == 1


def test_filtering_by_text_and_by_mark(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_label("Filter").fill("TCL")
    assert names(page) == ["tcl"]
    assert not page.locator("tbody.floor").is_visible()
    assert page.locator(".filters output").text_content() == "1 of 5 rows"
    page.get_by_label("Filter").fill("")
    page.get_by_label("Mark").select_option("verified")
    assert names(page) == ["ivae"]


def test_a_number_leads_to_its_runs_and_a_run_to_its_command(page: Any, address: str) -> None:
    page.goto(address)
    page.locator("tbody.method tr", has_text="tcl").get_by_role("link", name="0.750").click()
    assert "2 runs that differ in their seed alone" in page.text_content("main")
    page.get_by_role("link", name="0.800").click()
    assert page.url.endswith(f"{record('tcl', 1).key}.html")
    assert "unmix run nonstationary tcl --n 3 --samples 50" in page.text_content("pre")


def test_the_index_is_searched(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.get_by_label("Search").fill(record("ivae").key)
    visible = page.locator("[data-list] li:visible")
    assert visible.count() == 1
    assert "ivae on nonstationary" in visible.text_content()
    visible.get_by_role("link").click()
    assert page.locator("h1").text_content() == "ivae on nonstationary, seed 0"


def test_script_in_a_submission_stays_text(page: Any, site: Path) -> None:
    evil = [p for p in sorted(site.rglob("*.html")) if "owned" in p.read_text(encoding="utf-8")]
    assert {path.parent.name for path in evil} >= {"runs", "methods", "submissions", "benchmarks", "site"}
    for path in evil:
        page.goto(path.as_uri())
        assert page.title() != "owned", path
        assert page.locator("script").count() == 1
        assert EVIL[:8] in page.text_content("body")
    page.goto((site / "methods" / f"{slug(EVIL)}.html").as_uri())
    assert page.locator("h1").text_content() == EVIL
    assert page.locator("a[href^='javascript']").count() == 0


def test_dark_mode_follows_the_system_and_the_button_and_is_kept(page: Any, address: str, site: Path) -> None:
    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page.goto(address)
    light, button = background(), page.get_by_role("button", name="Dark")
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert dark != light
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert background() == light
    page.goto((site / "index.html").as_uri())
    assert background() == light


def test_text_is_readable_in_both_modes(page: Any, address: str) -> None:
    """WCAG's AA: a contrast of 4.5 of every text colour on every ground that it stands on."""
    page.goto(address)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        worst = page.evaluate(CONTRAST)
        assert worst["ratio"] >= 4.5, (scheme, worst)


CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1); paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  let worst = { ratio: 99 };
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const colour = rgb(element instanceof SVGElement ? style.fill : style.color);
    const pair = [light(colour), light(ground(element))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < worst.ratio) worst = { ratio, text: element.textContent.trim().slice(0, 40), tag: element.tagName };
  }
  return worst;
}"""


def test_no_page_is_wider_than_a_phone(page: Any, site: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    kinds = {path.parent.name: path for path in sorted(site.rglob("*.html"))}
    evil = {str(p): p for p in site.rglob("*.html") if "owned" in p.read_text(encoding="utf-8")}
    for path in {**kinds, **evil}.values():
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Any, address: str) -> None:
    page.goto(address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert {"A", "INPUT", "SELECT", "BUTTON", "DIV"} <= reached


def test_without_scripts_everything_is_there_but_its_controls(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert names(page) == ["tcl", "ivae"]
    assert not page.get_by_label("Filter").is_visible()
    context.close()
