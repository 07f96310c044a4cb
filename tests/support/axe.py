"""Accessibility of a page: violations that axe-core finds, and content that is too wide."""

AXE = """async () => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"], preload: false});
    return violations.map(({id, nodes}) => [id, ...nodes.slice(0, 3).map(each => each.html.slice(0, 200))].join(" | "));
}"""


def faults_of(tab):
    """Return the violations in a tab, into which axe has been loaded."""
    width = tab.page.evaluate("document.documentElement.scrollWidth")  # on a phone innerWidth grows with it
    return tab.page.evaluate(AXE) + ([f"{width} px wide"] if width > tab.page.viewport_size["width"] else [])
