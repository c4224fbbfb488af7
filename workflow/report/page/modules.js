// The audit: which module holds which format, as areas, and the groups as a table.
function formatColours() {
  const names = [...new Set(data.audits.flatMap((audit) => audit.tree.formats.filter(Boolean)))];
  const palette = dark.matches ? DARK : LIGHT;
  return new Map(names.map((name, i) => [name, palette[i % palette.length]]));
}

const auditOf = (precision) => data.audits.find((one) => one.model === shown.model && one.precision === precision);

function startAudit() {
  const first = cell().recommendation.precision || data.baseline;
  fill(
    $("treemap-precision"),
    data.precisions.map((name) => [name, name]),
    first === data.baseline ? data.precisions.find((name) => name !== data.baseline) || first : first,
  );
  drawInSight("treemap", drawTreemap);
  $("treemap-precision").addEventListener("change", () => zoom(0));
  $("treemap-part").addEventListener("change", (event) => zoom(Number(event.target.value)));
  watchers.unshift(() => {
    zoomed.level = 0;
  });
  $("treemap-details").addEventListener("toggle", listModules);
  whenShown(() => {
    drawGroups();
    colourGroups();
  });
  dark.addEventListener("change", colourGroups);
}

const bytes = (count) =>
  count >= 1e9
    ? `${number(count / 1e9)} GB`
    : count >= 1e6
      ? `${number(count / 1e6)} MB`
      : count >= 1e3
        ? `${number(count / 1e3)} kB`
        : `${count} bytes`;
const error = (value) => `${number(100 * value)} %`;

const zoomed = { level: 0 }; // the place in the tree of what fills the picture

function zoom(level) {
  zoomed.level = level;
  drawTreemap();
}

const partsOf = (tree, place) => tree.parents.flatMap((parent, i) => (parent === place ? [i] : []));

/** The way to the part that is shown, as buttons that lead back, and its own parts to go on to. */
function drawWay(tree) {
  const way = [];
  for (let place = zoomed.level; place !== null; place = tree.parents[place]) way.unshift(place);
  const steps = way.map((place) =>
    place === zoomed.level
      ? el("li", { "aria-current": "true" }, tree.labels[place])
      : el("li", {}, el("button", { type: "button", class: "link", onclick: () => zoom(place) }, tree.labels[place])),
  );
  $("crumbs").replaceChildren(...steps);
  const inner = partsOf(tree, zoomed.level).filter((place) => partsOf(tree, place).length > 0);
  fill($("treemap-part"), [["", "\u2026"], ...inner.map((place) => [String(place), tree.labels[place]])], "");
  $("treemap-part").disabled = inner.length === 0;
}

function drawTreemap() {
  const audit = auditOf($("treemap-precision").value);
  const { tree } = audit;
  drawWay(tree);
  const hues = formatColours();
  const used = [...new Set(tree.formats.filter(Boolean))];
  const held = (name) =>
    tree.bytes.reduce((sum, size, i) => sum + (tree.formats[i] === name && !tree.parents.includes(i) ? size : 0), 0);
  $("formats").replaceChildren(
    ...used.map((name) =>
      el(
        "li",
        { hue: hues.get(name) },
        el("span", { class: "dot" }),
        name,
        el("span", { class: "soft" }, bytes(held(name))),
      ),
    ),
  );
  const lines = tree.labels.map((label, i) =>
    hover(
      label,
      bytes(tree.bytes[i]),
      tree.formats[i] || "several formats",
      tree.storages[i] && `stored as ${tree.storages[i]}`,
      tree.errors[i] !== null &&
        `relative error ${error(tree.errors[i])}` +
          (tree.allowed[i] === null ? "" : `, allowed ${error(tree.allowed[i])}`),
      tree.faults[i] && `fault: ${tree.faults[i]}`,
    ),
  );
  const fault = css("--bad");
  plot(
    "treemap",
    [
      {
        type: "treemap",
        ids: tree.labels.map((_, i) => String(i)),
        labels: tree.labels.map((label, i) => plain(tree.faults[i] ? `\u2717 ${label}` : label)),
        parents: tree.parents.map((parent) => (parent === null ? "" : String(parent))),
        values: tree.bytes,
        branchvalues: "total",
        hoverinfo: "text",
        hovertext: lines,
        textinfo: "label",
        marker: {
          colors: tree.formats.map((name) => (name ? hues.get(name) : css("--well"))),
          line: {
            color: tree.faults.map((text) => (text ? fault : css("--sheet"))),
            width: tree.faults.map((text) => (text ? 4 : 1)),
          },
          pad: { t: 20, l: 2, r: 2, b: 2 },
        },
        tiling: { packing: "squarify", pad: 1 },
        pathbar: { visible: false },
        level: String(zoomed.level),
        root: { color: css("--well") },
      },
    ],
    { height: 500, margin: { l: 0, r: 0, t: 0, b: 0 }, xaxis: {}, yaxis: {} },
    `Modules of ${audit.precision} by bytes, coloured by format: ` +
      `${used.map((name) => `${name} ${bytes(held(name))}`).join(", ")}. All modules are in the table below.`,
  );
  $("treemap").removeAllListeners("plotly_treemapclick");
  // Plotly's own zoom would move without a way back by keyboard
  $("treemap").on("plotly_treemapclick", ({ nextLevel }) => {
    const place = Number(nextLevel);
    if (nextLevel !== undefined && nextLevel !== "" && partsOf(tree, place).length) setTimeout(() => zoom(place));
    return false;
  });
  listModules();
}

function listModules() {
  if (!$("treemap-details").open) return;
  const { tree } = auditOf($("treemap-precision").value);
  const path = (i) =>
    tree.parents[i] === null || tree.parents[i] === 0 ? tree.labels[i] : `${path(tree.parents[i])}.${tree.labels[i]}`;
  const leaves = tree.labels.map((_, i) => i).filter((i) => tree.storages[i]);
  $("treemap-table").replaceChildren(
    plainTable(
      ["Module", "Format", "Stored as", "Bytes", "Relative error", "Fault"],
      leaves.map((i) => [
        path(i),
        tree.formats[i] || "several",
        tree.storages[i],
        tree.bytes[i].toLocaleString("en"),
        tree.errors[i] === null ? "\u2014" : error(tree.errors[i]),
        tree.faults[i] || "none",
      ]),
      3,
    ),
  );
}

/** Precisions down, groups across: what each holds, how large it is, how far off, and whether it is as asked. */
function drawGroups() {
  const audits = data.audits.filter((one) => one.model === shown.model);
  const names = [...new Set(audits.flatMap((audit) => audit.groups.map((group) => group.group)))];
  const heads = ["Precision", ...names].map((name) => el("th", { scope: "col" }, name));
  const rows = audits.map((audit) => {
    const missing = names.filter((name) => !audit.groups.some((group) => group.group === name));
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("span", { class: "head" }, audit.precision),
        el(
          "span",
          { class: audit.passed ? "tag good" : "tag bad" },
          audit.passed ? "\u2713 audit passed" : "\u2717 audit failed",
        ),
        audit.simulated.length > 0 && [" ", el("span", { class: "tag unsure" }, "simulated")],
      ),
      names.map((name) => {
        const group = audit.groups.find((one) => one.group === name);
        const reason = "this precision has no such module group";
        return el("td", {}, group ? groupCell(group) : absent(reason, name === missing[0]));
      }),
    );
  });
  $("groups").replaceChildren(
    el(
      "table",
      {},
      caption(
        `Formats by module group${data.models.length > 1 ? `, ${shown.model}` : ""}. The error is that of the ` +
          "weights as they are used, relative to the originals; where none stands, no weight was rounded.",
      ),
      el("thead", {}, el("tr", {}, heads)),
      el("tbody", {}, rows),
    ),
  );
}

function groupCell(group) {
  return [
    el("span", { class: "holds" }, el("span", { class: "dot", "data-format": group.format }), group.format),
    el("small", {}, bytes(group.bytes)),
    group.relative_error !== null && el("small", {}, `error ${error(group.relative_error)}`),
    group.faults.length > 0 &&
      el(
        "details",
        {},
        el(
          "summary",
          { class: "bad" },
          `\u2717 ${group.faults.length} ${group.faults.length === 1 ? "fault" : "faults"}`,
        ),
        group.faults.map((text) => el("p", { class: "small" }, text)),
      ),
  ];
}

/** The dots of the table have the colours of the areas. */
function colourGroups() {
  const hues = formatColours();
  for (const dot of $("groups").querySelectorAll("[data-format]")) {
    dot.hidden = !hues.has(dot.dataset.format);
    dot.style.setProperty("--hue", hues.get(dot.dataset.format));
  }
}
