// The inspection of the outputs: hallucinated objects, and what the screens flagged for a person to look at.
const FLAG_KINDS = { privacy: "Privacy", profanity: "Profanity", people: "Wording about people" };

function drawInspection() {
  const { inspection } = data;
  const cells = inspection.cells.filter((one) => one.model === shown.model && one.condition === shown.condition);
  // a metric that could not be had for any answer of the study has no columns: above it says why
  const metrics = inspection.metrics.filter(([name]) => inspection.cells.some((one) => one.metrics[name].text));
  const screened = cells.some((one) => Object.keys(one.flagged).length > 0);
  const heads = [
    "Precision",
    ...metrics.flatMap(([, label]) => [label, "Difference (points)"]),
    ...(screened ? Object.values(FLAG_KINDS).map((kind) => `${kind}, flagged`) : []),
  ];
  const rows = cells.map((one) => [
    one.precision,
    ...metrics.flatMap(([name]) => [
      small(one.metrics[name]),
      one.precision === data.baseline ? absent("this is the baseline") : small(one.differences[name]),
    ]),
    ...(screened ? Object.keys(FLAG_KINDS) : []).map((kind) =>
      one.flagged[kind] === undefined || one.flagged[kind] === null
        ? absent("not looked for in this study")
        : String(one.flagged[kind]),
    ),
  ]);
  const table = plainTable(heads, rows, heads.length - 1);
  if (metrics.length)
    table.prepend(
      caption(
        "CHAIR-i: of all objects that are named, the share that is not in the picture. CHAIR-s: the share of answers " +
          "that name such an object. Less is better; in brackets 95 % intervals.",
      ),
    );
  const { redaction } = inspection;
  $("screens").replaceChildren(
    ...[
      el(
        "ul",
        { class: "screens" },
        inspection.looked_for.map((one) =>
          el(
            "li",
            { class: "card" },
            el(
              "h3",
              {},
              `${one.check[0].toUpperCase()}${one.check.slice(1)} `,
              el(
                "span",
                { class: one.absent ? "tag unsure" : "tag good" },
                one.absent ? "not done" : "\u2713 looked for",
              ),
            ),
            el("p", { class: "small soft" }, one.absent ? sentence(one.absent) : sentence(one.how)),
          ),
        ),
      ),
      (metrics.length > 0 || screened) &&
        el(
          "div",
          { class: "scroll", role: "region", "aria-label": "Inspection of every precision", tabindex: "0" },
          table,
        ),
      inspection.looked_for.some((one) => !one.absent) && flaggedTable(inspection.flagged),
      el("p", { class: "small" }, sentence(redaction.why), redaction.on && ` ${redaction.replaced} replaced.`),
      el(
        "ul",
        { class: "bullets small soft" },
        inspection.limits.map((text) => el("li", {}, text)),
      ),
    ].filter(Boolean),
  );
}

function small(value) {
  return value.absent
    ? absent(value.absent)
    : [
        el("span", { class: "value" }, value.text),
        value.ci && el("small", {}, value.ci),
        value.note && el("small", {}, value.note),
      ];
}

function flaggedTable({ rows, total }) {
  if (!total)
    return el("p", {}, "Nothing was flagged. That is what the screens found, and no proof that nothing is there.");
  const known = new Set(data.examples.items.map((item) => item.id));
  const lines = rows.map((one) => [
    known.has(one.item)
      ? el("button", { type: "button", class: "link", onclick: () => lookAt(one) }, one.item)
      : one.item,
    one.what,
    one.where,
    one.excerpt,
    one.precisions.join(", ") || "\u2014",
    [one.model, one.condition].filter(Boolean).join(", ") || "\u2014",
  ]);
  const words =
    total > rows.length
      ? `${total} flagged for a person to look at; the first ${rows.length} are here, all of them in flagged.csv`
      : `${total} flagged for a person to look at`;
  return el(
    "details",
    { open: total <= 10 },
    el("summary", {}, words),
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
