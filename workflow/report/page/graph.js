// The graph of rules, drawn by Graphviz in the browser, from above to below.
const LETTERS = 12; // pixels of its text at its own size, in which it is shown first
const NARROW = matchMedia("(max-width: 40rem)"); // there the text is shown first
const scale = { now: 1, width: 0, height: 0 };

function startGraph() {
  $("graph-words").append(
    ...data.graph.words.flatMap(([rule, needs]) => [
      el("dt", {}, rule),
      el("dd", {}, needs.length ? `reads ${needs.join(", ")}` : "reads nothing of the others"),
    ]),
  );
  $("graph-text").open = NARROW.matches;
  waiting.set($("graph"), drawGraph);
  watched.observe($("graph"));
  $("larger").addEventListener("click", () => resize(scale.now * 1.25));
  $("smaller").addEventListener("click", () => resize(scale.now / 1.25));
  $("fit").addEventListener("click", () => resize(($("graph").clientWidth - 24) / scale.width));
  $("readable").addEventListener("click", () => resize(1));
}

async function drawGraph() {
  try {
    const viz = await Viz.instance();
    const drawn = viz.renderSVGElement(graphviz(data.graph.words), {
      graphAttributes: { bgcolor: "transparent", rankdir: "TB", ranksep: "0.35", nodesep: "0.2", margin: "0" },
      nodeAttributes: {
        shape: "box",
        style: "rounded",
        fontname: "Arial",
        fontsize: String(LETTERS),
        margin: "0.14,0.06",
        height: "0.3",
        width: "0.3",
      },
      edgeAttributes: { arrowsize: "0.6" },
    });
    drawn.querySelectorAll(".graph > polygon").forEach((ground) => ground.remove());
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `Graph of ${data.graph.words.length} rules; they stand as text above.`);
    Object.assign(scale, { width: drawn.viewBox.baseVal.width, height: drawn.viewBox.baseVal.height });
    for (const node of drawn.querySelectorAll(".node")) {
      const name = node.querySelector("title").textContent;
      const near = [...drawn.querySelectorAll(".edge")].filter((edge) =>
        edge.querySelector("title").textContent.split("->").includes(name),
      );
      node.addEventListener("mouseenter", () => near.forEach((edge) => edge.classList.add("near")));
      node.addEventListener("mouseleave", () => near.forEach((edge) => edge.classList.remove("near")));
    }
    // a title would come up as a tip that tells a number only
    drawn.querySelectorAll("title").forEach((title) => title.remove());
    $("graph").replaceChildren(drawn);
    resize(1);
    $("graph").scrollLeft = (drawn.clientWidth - $("graph").clientWidth) / 2;
  } catch (fault) {
    $("graph").replaceChildren(
      el("p", {}, `This browser cannot draw the graph (${fault.message}); it stands as text above.`),
    );
  }
}

/** The graph in Graphviz' language, without arrows to where a longer way leads as well: these hide the others. */
function graphviz(rules) {
  const needs = new Map(rules);
  const above = new Map(); // of each rule all that it needs, also by way of others
  const allOf = (rule) => {
    if (!above.has(rule)) above.set(rule, new Set(needs.get(rule).flatMap((name) => [name, ...allOf(name)])));
    return above.get(rule);
  };
  const arrows = rules.flatMap(([rule, names]) =>
    names
      .filter((name) => !names.some((other) => other !== name && allOf(other).has(name)))
      .map((name) => `${JSON.stringify(name)} -> ${JSON.stringify(rule)};`),
  );
  return ["digraph {", ...rules.map(([rule]) => `${JSON.stringify(rule)};`), ...arrows, "}"].join("\n");
}

function resize(factor) {
  const drawn = $("graph").querySelector("svg");
  if (!drawn) return;
  scale.now = Math.min(4, Math.max(0.2, factor));
  drawn.style.width = `${scale.width * scale.now}px`;
  drawn.style.height = `${scale.height * scale.now}px`;
}
