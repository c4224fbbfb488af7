// Put the page together, the verdict first.
fill(
  $("model"),
  data.models.map((name) => [name, name]),
  shown.model,
);
fill(
  $("condition"),
  data.conditions.map((name) => [name, name]),
  shown.condition,
);
$("model-label").hidden = data.models.length < 2;
$("condition-label").hidden = data.conditions.length < 2;
$("switch").hidden = data.cells.length < 2;
for (const id of ["model", "condition"])
  $(id).addEventListener("change", () => show($("model").value, $("condition").value));
$("switch").addEventListener("submit", (event) => event.preventDefault());
for (const form of document.querySelectorAll("form.choices"))
  form.addEventListener("submit", (event) => event.preventDefault());

for (const place of document.querySelectorAll("main .scroll:not(.graph)")) sideways(place);
drawVerdicts();
whenShown(drawTable);
whenShown(drawNotes);
startPlots();
startExamples();
whenShown(drawInspection);
startAudit();
startGraph();
drawAbout();
dark.addEventListener("change", drawItem);

// Which section is read, in the bar at the top.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const reading = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-20% 0px -70% 0px" },
);
links.forEach((_, id) => reading.observe($(id)));
addEventListener("hashchange", recall);
recall();
