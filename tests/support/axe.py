"""What axe-core has to say of a page, and whether something of it is cut off."""

AXE = """async () => {
    const {violations} = await axe.run(document, {resultTypes: ["violations"], preload: false});
    return violations.map(({id, nodes}) => [id, ...nodes.slice(0, 3).map(each => each.html.slice(0, 200))].join(" | "));
}"""


def found_in(there):
    """Return what is wrong with what a tab shows; axe has been evaluated in it before."""
    wide = there.page.evaluate("document.documentElement.scrollWidth")  # innerWidth grows with it on a phone
    return there.page.evaluate(AXE) + ([f"{wide} px wide"] if wide > there.page.viewport_size["width"] else [])
