// The inspection of the outputs: hallucinated objects, and what the screens flagged for a person to look at.
const FLAG_KINDS = {
  objects: "Captions that name an object not there",
  privacy: "Privacy, flagged",
  profanity: "Profanity, flagged",
  people: "Wording about people, flagged",
};

function drawInspection() {
  const { inspection } = data;
  const { redaction } = inspection;
  $("screens").replaceChildren(
    ...[
      inspection.looked_for.length > 0 && el("ul", { class: "screens" }, inspection.looked_for.map(checkCard)),
      inspection.not_done.length > 0 &&
        el("p", { class: "soft" }, `Not looked for: ${inspection.not_done.join("; ")}.`),
      inspection.looked_for.length > 0 && screensTable(),
      inspection.found && flaggedTable(),
      redaction &&
        el("p", { class: "small" }, sentence(redaction.why), redaction.on && ` ${redaction.replaced} replaced.`),
      inspection.limits.length > 0 &&
        el(
          "ul",
          { class: "bullets small soft" },
          inspection.limits.map((text) => el("li", {}, text)),
        ),
    ].filter(Boolean),
  );
  $("screens").querySelectorAll(".scroll").forEach(sideways);
}

function checkCard(one) {
  return el(
    "li",
    { class: "card" },
    el("h3", {}, `${one.check[0].toUpperCase()}${one.check.slice(1)}`),
    el("p", { class: "small soft" }, sentence(one.how)),
  );
}

/** Every precision: hallucinated objects with their difference, and how many answers each screen flagged. */
function screensTable() {
  const { inspection } = data;
  const cells = inspection.cells.filter((one) => one.model === shown.model && one.condition === shown.condition);
  // a metric that could not be had for any answer of the study has no columns: above it says why
  const metrics = inspection.metrics.filter(([name]) => inspection.cells.some((one) => one.metrics[name].text));
  const kinds = inspection.kinds.filter((kind) => cells.some((one) => Number.isFinite(one.flagged[kind])));
  const any = cells.some((one) => Number.isFinite(one.answers_flagged));
  const heads = [
    "Precision",
    ...metrics.flatMap(([, label]) => [label, "Difference (points)"]),
    ...kinds.map((kind) => FLAG_KINDS[kind]),
    ...(any ? ["Any of these three, flagged"] : []),
  ];
  const count = (value, one) => (Number.isFinite(value) ? `${value} of ${one.n}` : absent("not counted in this run"));
  const rows = cells.map((one) => [
    one.precision,
    ...metrics.flatMap(([name]) => [
      small(one.metrics[name]),
      one.precision === data.baseline ? absent("this is the baseline", false) : small(one.differences[name]),
    ]),
    ...kinds.map((kind) => count(one.flagged[kind], one)),
    ...(any ? [count(one.answers_flagged, one)] : []),
  ]);
  const table = plainTable(heads, rows, heads.length - 1);
  if (metrics.length)
    table.prepend(
      caption(
        "CHAIR-i: of all objects that are named, the share that is not in the picture. CHAIR-s: the share of answers " +
          "that name such an object. Less is better; in brackets 95 % intervals.",
      ),
    );
  return el(
    "div",
    { class: "scroll", role: "region", "aria-label": "Inspection of every precision", tabindex: "0" },
    table,
  );
}

function small(value) {
  return value.absent
    ? absent(value.absent)
    : [
        el("span", { class: "value" }, value.text),
        value.interval && el("small", {}, value.interval),
        value.why && el("small", { class: "wrap" }, value.why),
        value.note && el("small", {}, value.note),
      ];
}

function flaggedTable() {
  const { found, flagged } = data.inspection;
  const { rows, total } = flagged;
  if (!total) return el("p", {}, found);
  const known = new Set(data.examples.items.map((item) => item.id));
  const lines = rows.map((one) => [
    known.has(one.item)
      ? el("button", { type: "button", class: "link", onclick: () => lookAt(one) }, one.item)
      : one.item,
    one.what,
    one.where,
    one.excerpt,
    el("span", { class: "names" }, one.precisions.join(", ") || "\u2014"),
    [one.model, one.condition].filter(Boolean).join(", ") || "\u2014",
  ]);
  const listed = total > rows.length ? ` The first ${rows.length} are here, all of them in flagged.csv.` : "";
  return el(
    "details",
    { open: total <= 10 },
    el("summary", {}, found, listed),
    el(
      "div",
      { class: "scroll long", role: "region", "aria-label": "Flagged answers", tabindex: "0" },
      plainTable(["Item", "What", "Where", "Excerpt", "Precisions", "Model, condition"], lines, 0),
    ),
  );
}

/** Show a flagged item in the browser of examples. */
function lookAt(flag) {
  if (flag.model) show(flag.model, flag.condition);
  goTo(flag.item);
  $("examples").scrollIntoView();
  $("next").focus({ preventScroll: true });
}
