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
        el("span", {}, column.label),
      ),
    );
  });
  const body = sorted(rows).map((row) =>
    el(
      "tr",
      { class: row.baseline ? "baseline" : null },
      columns.map((column) =>
        column.key === "precision" ? nameOfRow(row) : el("td", { class: "number" }, valueOf(row.cells[column.key])),
      ),
    ),
  );
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

function nameOfRow(row) {
  const name = el("th", { scope: "row" }, row.precision);
  if (row.baseline) name.append(" ", el("span", { class: "tag" }, "baseline"));
  if (row.warning) {
    const mark = el("button", { type: "button", class: "absent", "aria-label": `note: ${row.warning}` }, "\u26a0");
    name.append(" ", tip(mark, row.warning));
  }
  return name;
}

function valueOf(value) {
  if (value.absent) return absent(value.absent);
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
