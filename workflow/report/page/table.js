// The table of all numbers, sortable by every column.
const IS_BASELINE = "this is the baseline, which all others are compared with";
const sorting = { key: null, up: true };

function drawTable() {
  const { entries: rows, name } = cell();
  const columns = columnsOf(cell());
  if (!columns.some((column) => column.key === sorting.key)) sorting.key = null;
  const heads = columns.map((column) => {
    const sort = sorting.key === column.key ? (sorting.up ? "ascending" : "descending") : "none";
    return el(
      "th",
      { scope: "col", "aria-sort": sort, class: column.key === "precision" ? null : "number" },
      el(
        "button",
        { type: "button", "data-key": column.key, onclick: () => sortBy(column) },
        el("span", {}, column.label, column.note && el("small", {}, column.note)),
      ),
    );
  });
  const body = sorted(rows).map((row) => rowOf(row, columns));
  $("summary").replaceChildren(
    el(
      "table",
      {},
      name ? caption(name) : null,
      el("thead", {}, el("tr", {}, heads)),
      el("tbody", {}, body),
    ),
  );
}

/** The precision, its quality and difference, and every cost. */
function columnsOf({ costs }) {
  const [metric] = data.metrics;
  const difference = metric.difference_unit ? `Difference (${metric.difference_unit})` : "Difference";
  return [
    { key: "precision", label: "Precision" },
    { key: "quality", label: metric.label },
    { key: "difference", label: `${difference}, p after Holm` },
    ...costs.map((cost) => ({ key: cost.metric, label: titled(cost), note: cost.note })),
  ];
}

/** What the record says of a row in a column. */
function toldOf(entry, key) {
  const quality = entry.metrics[data.primary] || { absent: "not in the scores of this run" };
  if (key === "quality") return quality;
  if (key !== "difference") return entry.costs[key];
  return entry.baseline ? { absent: IS_BASELINE } : quality.difference;
}

/** A row of the table; the keyboard stops in it once for all values that are absent for one reason. */
function rowOf(entry, columns) {
  const told = new Set();
  const cells = columns.map((column) => {
    if (column.key === "precision") return nameOfRow(entry, columns, told);
    const value = toldOf(entry, column.key);
    if (!value.absent) return el("td", { class: "number" }, valueOf(value, column));
    // the baseline's name says why it is not compared with itself
    const stop = !told.has(value.absent) && !(entry.baseline && column.key === "difference");
    told.add(value.absent);
    return el("td", { class: "number" }, absent(value.absent, stop));
  });
  return el("tr", { class: entry.baseline ? "baseline" : null }, cells);
}

/** A precision's name; what its note tells by keyboard joins `told`: a warning, and why values of it are absent. */
function nameOfRow(entry, columns, told) {
  const name = el("th", { scope: "row" }, entry.precision);
  if (entry.baseline) name.append(" ", el("span", { class: "tag" }, "baseline"));
  if (entry.incomparable) {
    const reasons = columns.slice(1).map((column) => toldOf(entry, column.key).absent).filter(Boolean);
    reasons.forEach((reason) => told.add(reason));
    const words = [...new Set([entry.incomparable, ...reasons])].map(sentence).join(" ");
    const mark = el("button", { type: "button", class: "absent", "aria-label": `note: ${words}` }, "\u26a0");
    name.append(" ", tip(mark, words));
  }
  return name;
}

function valueOf(value, column) {
  const note = value.p || (column.note ? "" : value.note);
  return [
    el("span", { class: "value" }, value.text),
    [value.interval, value.times, note].map((text) => text && el("small", {}, text)),
  ];
}

/** What holds of the cell's numbers: the levels to hold them against, what is not compared and why, remarks. */
function drawNotes() {
  const one = cell();
  const reasons = new Map();
  // of disturbed timings the banner tells
  for (const { name, metric } of one.costs.filter((cost) => !(cost.timed && one.disturbed)))
    for (const { costs, incomparable } of one.entries)
      if (costs[metric].incomparable && !incomparable) reasons.set(name, costs[metric].incomparable);
  $("disturbed").textContent = one.disturbed ? sentence(one.disturbed) : "";
  $("disturbed").hidden = !one.disturbed;
  $("floor").textContent = [one.baseline_reaches, one.floor].filter(Boolean).map(sentence).join(" ");
  $("remarks").replaceChildren(
    ...[...reasons].map(([name, reason]) => el("p", {}, sentence(`${name} is not compared: ${reason}`))),
    ...one.remarks.map((remark) => el("p", {}, sentence(remark))),
  );
}

/** Rows in the order of a column; those without a value always last. */
function sorted(rows) {
  if (!sorting.key) return rows;
  const worth = (row) => (sorting.key === "precision" ? row.precision : toldOf(row, sorting.key).value);
  const known = rows.filter((row) => worth(row) !== undefined);
  const order = (a, b) =>
    typeof worth(a) === "string" ? worth(a).localeCompare(worth(b), "en", { numeric: true }) : worth(a) - worth(b);
  known.sort((a, b) => (sorting.up ? order(a, b) : order(b, a)));
  return [...known, ...rows.filter((row) => worth(row) === undefined)];
}

function sortBy(column) {
  if (sorting.key === column.key && !sorting.up) Object.assign(sorting, { key: null, up: true });
  else Object.assign(sorting, { up: sorting.key !== column.key, key: column.key });
  drawTable();
  $("summary").querySelector(`[data-key="${column.key}"]`).focus();
  announce(
    sorting.key ? `sorted by ${column.label}, ${sorting.up ? "ascending" : "descending"}` : "in the study's order",
  );
}
