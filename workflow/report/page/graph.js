// The graph of rules, drawn by Graphviz in the browser.
const scale = { now: 1, width: 0, height: 0 };

function startGraph() {
  $("graph-words").append(
    ...data.graph.words.flatMap(([rule, needs]) => [
      el("dt", {}, rule),
      el("dd", {}, needs.length ? `reads ${needs.join(", ")}` : "reads nothing of the others"),
    ]),
  );
  waiting.set($("graph"), drawGraph);
  watched.observe($("graph"));
  $("larger").addEventListener("click", () => resize(scale.now * 1.25));
  $("smaller").addEventListener("click", () => resize(scale.now / 1.25));
  $("fit").addEventListener("click", () => resize(fitting()));
}

async function drawGraph() {
  try {
    const viz = await Viz.instance();
    const drawn = viz.renderSVGElement(data.graph.dot, {
      graphAttributes: { bgcolor: "transparent", ranksep: "0.35", nodesep: "0.2" },
      nodeAttributes: { margin: "0.2,0.08" },
      edgeAttributes: { arrowsize: "0.7" },
    });
    drawn.querySelectorAll(".graph > polygon").forEach((ground) => ground.remove());
    drawn.setAttribute("role", "img");
    drawn.setAttribute("aria-label", `Graph of ${data.graph.words.length} rules; they stand as text below.`);
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
    resize(fitting());
  } catch (fault) {
    $("graph").replaceChildren(
      el("p", {}, `This browser cannot draw the graph (${fault.message}); it stands as text below.`),
    );
  }
}

const fitting = () => Math.max(0.6, Math.min(1.4, ($("graph").clientWidth - 24) / scale.width));

function resize(factor) {
  const drawn = $("graph").querySelector("svg");
  if (!drawn) return;
  scale.now = Math.min(4, Math.max(0.2, factor));
  drawn.style.width = `${scale.width * scale.now}px`;
  drawn.style.height = `${scale.height * scale.now}px`;
}
