// The verdict: what is recommended of every model and condition, and what is said of each precision.
const AT_ONCE = 2; // verdicts of so many models and conditions are shown whole
const CLAUSES = /; (?![^(]*\))/; // a semicolon that is not within brackets

function drawVerdicts() {
  const title = data.title || data.study;
  document.title = `${title}: results`;
  $("title").textContent = title;
  $("name").textContent = data.study;
  $("description").textContent = [data.title ? data.study : null, data.description].filter(Boolean).join(": ");
  $("description").hidden = !$("description").textContent;
  $("demo").hidden = !data.demo;
  $("accept").textContent = `${data.accept} Better and worse answers are told by ${data.worth}.`;
  $("floor").textContent = data.floor || "";
  $("verdicts").replaceChildren(...data.cells.map(verdictCard));
}

function verdictCard(one) {
  const { verdict } = one;
  const stay = verdict.precision === data.baseline;
  const [first, ...rest] = verdict.sentence
    .replace(`${verdict.precision}: `, "")
    .replace(`${verdict.precision}, the baseline: `, "")
    .split(CLAUSES);
  const of = [data.models.length > 1 && one.model, data.conditions.length > 1 && one.condition].filter(Boolean);
  return el(
    "article",
    { class: "card verdict" },
    of.length > 0 && el("h2", { class: "of" }, of.join(" \u00b7 ")),
    el(
      "div",
      {},
      verdict.precision &&
        el(
          "p",
          { class: "take" },
          stay ? "Recommended: stay with the baseline" : `Recommended instead of ${data.baseline}`,
        ),
      el("p", { class: verdict.precision ? "big" : "big none" }, verdict.precision || "Nothing is recommended"),
    ),
    chips(one),
    el("p", { class: "why" }, sentence(first)),
    folded(verdict.judged, [
      rest.map((part) => el("p", { class: "why soft small" }, sentence(part))),
      el(
        "ul",
        { class: "judged", "aria-label": `Every precision against ${data.baseline}` },
        verdict.judged.map((entry) =>
          judged(entry, one.rows.find((row) => row.precision === entry.precision).cells.difference),
        ),
      ),
      el("p", { class: "soft small" }, [verdict.front, verdict.noise].filter(Boolean).map(sentence).join(" ")),
    ]),
    data.cells.length > 1 &&
      el(
        "p",
        {},
        el(
          "button",
          {
            type: "button",
            class: "plain small",
            onclick: () => {
              show(one.model, one.condition);
              announce(`${of.join(", ")} is shown below`);
              $("table").scrollIntoView();
            },
          },
          `Show ${of.join(", ")} below`,
        ),
      ),
  );
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

/** Of one or two models and conditions all is in sight; of more it opens below the number of verdicts of each kind. */
function folded(entries, parts) {
  if (data.cells.length <= AT_ONCE) return parts;
  const words = [...new Set(entries.map((entry) => entry.word))];
  const counts = words.map((word) => `${entries.filter((entry) => entry.word === word).length} ${word}`);
  return el("details", { class: "fold-all" }, el("summary", {}, `All precisions: ${counts.join(", ")}`), parts);
}

/** What the recommended precision changes, in a few numbers. */
function chips(one) {
  const row = one.rows.find((row) => row.precision === one.verdict.precision);
  if (!row || row.baseline) return null;
  const found = [];
  const difference = row.cells.difference;
  if (difference.text)
    found.push([
      difference.text,
      difference.ci,
      one.columns.find((column) => column.key === "difference").label.includes("points")
        ? `points of ${data.label}`
        : data.label,
    ]);
  for (const [key, label] of [
    ["size_on_disk", "size on disk"],
    ["weights_in_memory", "weights in memory"],
    ["latency", "latency"],
    ["energy_per_item", "energy"],
  ]) {
    const { ratio, note } = row.cells[key];
    // of an energy, whether it was measured or estimated
    if (ratio) found.push([ratio, null, key === "energy_per_item" && note ? `${label}, ${note}` : label]);
  }
  return el(
    "ul",
    { class: "chips", "aria-label": `Against ${data.baseline}` },
    found.map(([value, ci, label]) => el("li", {}, el("b", {}, value), ` ${label}`, ci && el("span", {}, ` ${ci}`))),
  );
}

function judged(entry, difference) {
  return el(
    "li",
    {},
    el(
      "details",
      {},
      el(
        "summary",
        {},
        el("span", { class: `mark ${entry.tone}`, "aria-hidden": "true" }, entry.mark),
        el(
          "span",
          {},
          el("span", { class: "who" }, entry.precision),
          el("span", { class: `word ${entry.tone}` }, entry.word),
          difference.text && el("span", { class: "by" }, `${difference.text} ${difference.ci}`),
        ),
        el(
          "span",
          {},
          el(
            "span",
            { class: entry.accepted ? "tag good" : "tag" },
            entry.accepted ? "\u2713 accepted" : "\u2717 not accepted",
          ),
          " ",
          el("span", { class: "fold", "aria-hidden": "true" }),
        ),
      ),
      el(
        "div",
        { class: "more" },
        el("p", {}, sentence(entry.sentence)),
        el("p", { class: "soft" }, sentence(entry.accepted_why)),
        el("p", { class: "soft" }, [entry.answers, entry.front].filter(Boolean).map(sentence).join(" ")),
      ),
    ),
  );
}
