// The table of all numbers, sortable by every column.
const sorting = { key: null, up: true };

function drawTable() {
  const { columns, rows } = cell();
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
      nameOfCell() ? caption(nameOfCell()) : null,
      el("thead", {}, el("tr", {}, heads)),
      el("tbody", {}, body),
    ),
  );
}

/** A row of the table; the keyboard stops in it once for all values that are absent for one reason. */
function rowOf(row, columns) {
  const told = new Set();
  const cells = columns.map((column) => {
    if (column.key === "precision") return nameOfRow(row, told);
    const value = row.cells[column.key];
    if (!value.absent) return el("td", { class: "number" }, valueOf(value));
    // the baseline's name says why it is not compared with itself
    const stop = !told.has(value.absent) && !(row.baseline && column.key === "difference");
    told.add(value.absent);
    return el("td", { class: "number" }, absent(value.absent, stop));
  });
  return el("tr", { class: row.baseline ? "baseline" : null }, cells);
}

/** A precision's name; what its note tells by keyboard joins `told`: a warning, and why values of it are absent. */
function nameOfRow(row, told) {
  const name = el("th", { scope: "row" }, row.precision);
  if (row.baseline) name.append(" ", el("span", { class: "tag" }, "baseline"));
  if (row.warning) {
    const reasons = Object.values(row.cells).flatMap((value) => (value.absent ? [value.absent] : []));
    reasons.forEach((reason) => told.add(reason));
    const words = [...new Set([row.warning, ...reasons])].map(sentence).join(" ");
    const mark = el("button", { type: "button", class: "absent", "aria-label": `note: ${words}` }, "\u26a0");
    name.append(" ", tip(mark, words));
  }
  return name;
}

function valueOf(value) {
  return [
    el("span", { class: "value" }, value.text),
    [value.ci, value.ratio, value.note].map((text) => text && el("small", {}, text)),
  ];
}

/** Rows in the order of a column; those without a value always last. */
function sorted(rows) {
  if (!sorting.key) return rows;
  const worth = (row) => (sorting.key === "precision" ? row.precision : row.cells[sorting.key].sort);
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
