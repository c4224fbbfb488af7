// Provenance: files, versions, machine, data and models.
function drawAbout() {
  $("links").replaceChildren(
    ...data.about.links.map(([name, words]) =>
      el("li", {}, el("a", { href: encodeURI(name) }, name), el("span", {}, words)),
    ),
  );
  $("packages").replaceChildren(
    ...data.about.packages.map(([name, version]) => el("div", {}, el("dt", {}, name), el("dd", {}, version))),
  );
  $("facts").replaceChildren(
    ...data.about.facts.flatMap(([name, lines]) => [
      el("dt", {}, name),
      el(
        "dd",
        {},
        lines.map((line) => el("p", {}, line)),
      ),
    ]),
  );
}
