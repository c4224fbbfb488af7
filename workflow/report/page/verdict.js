// The verdict: what is recommended of every model and condition, and what is said of each precision.
const AT_ONCE = 2; // of so many models and conditions each has its own card
const COSTS = [
  ["size_on_disk", "size on disk"],
  ["weights_in_memory", "weights in memory"],
  ["peak_memory", "peak memory"],
  ["latency", "latency"],
  ["energy_per_item", "energy"],
];
// of a cost against the baseline's
const TRENDS = {
  rose: ["\u25b2 worse", "bad"],
  fell: ["\u25bc better", "good"],
  unclear: ["\u2248 intervals overlap", "unsure"],
  same: ["= the same", ""],
};
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
  $("verdicts").classList.toggle("summed", data.cells.length > AT_ONCE);
  $("verdicts").replaceChildren(...(data.cells.length > AT_ONCE ? summed() : data.cells.map(verdictCard)));
  meanings();
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

const nameOf = (one) =>
  [data.models.length > 1 && one.model, data.conditions.length > 1 && one.condition].filter(Boolean).join(" \u00b7 ");

const recommended = () => el("span", { class: "tag picked" }, "recommended");

/** What each kind of verdict that occurs means. */
function meanings() {
  const kinds = new Map(data.cells.flatMap((one) => one.verdict.judged).map((entry) => [entry.word, entry]));
  $("meanings").hidden = kinds.size === 0;
  $("kinds").replaceChildren(
    ...[...kinds.values()].flatMap((entry) => [
      el("dt", { class: entry.tone }, `${entry.mark} ${entry.word}`),
      el("dd", {}, entry.meaning),
    ]),
  );
}

/** The recommendation: how it is said, the precision, and what it trades. */
function take(precision, trades) {
  const stay = precision === data.baseline;
  const words = stay ? "Recommended: stay with the baseline" : `Recommended instead of ${data.baseline}`;
  return el(
    "div",
    {},
    precision && el("p", { class: "take" }, words),
    el(
      "p",
      precision ? { class: "big", letters: Math.max(...parts(precision).map((part) => part.length)) } : { class: "big none" },
      precision || "Nothing is recommended",
    ),
    trades.map((text) => el("p", { class: "trade" }, sentence(text))),
  );
}

/** Why, in the words of the verdicts: the first clause, and the others. */
function why({ verdict }) {
  return verdict.sentence
    .replace(`${verdict.precision}: `, "")
    .replace(`${verdict.precision}, the baseline: `, "")
    .split(CLAUSES);
}

function verdictCard(one) {
  const { verdict } = one;
  const [first, ...rest] = why(one);
  return el(
    "article",
    { class: "card verdict" },
    nameOf(one) && el("h2", { class: "of" }, nameOf(one)),
    take(verdict.precision, [verdict.trade].filter(Boolean)),
    chips(one),
    judgedList(one),
    el("p", { class: "why" }, sentence(first)),
    rest.map((part) => el("p", { class: "why soft small" }, sentence(part))),
    el("p", { class: "soft small" }, [verdict.front, verdict.noise].filter(Boolean).map(sentence).join(" ")),
    data.cells.length > 1 && showButton(one),
  );
}

function showButton(one) {
  const words = nameOf(one);
  const go = () => {
    show(one.model, one.condition);
    announce(`${words} is shown below`);
    $("table").scrollIntoView();
  };
  return el("p", {}, el("button", { type: "button", class: "plain small", onclick: go }, `Show ${words} below`));
}

/** Of many models and conditions: one card for each precision that is recommended, and all verdicts as one table. */
function summed() {
  const groups = new Map();
  for (const one of data.cells) groups.set(one.verdict.precision, [...(groups.get(one.verdict.precision) || []), one]);
  return [
    el(
      "div",
      { class: "cards" },
      [...groups].map(([precision, cells]) => groupCard(precision, cells)),
    ),
    matrix(),
  ];
}

function groupCard(precision, cells) {
  const many = cells.length === data.cells.length;
  const trades = [...new Set(cells.map((one) => one.verdict.trade).filter(Boolean))];
  const names = cells.map(nameOf);
  return el(
    "article",
    { class: "card verdict" },
    take(precision, trades.length === 1 ? trades : []),
    el("p", { class: "soft" }, `For ${many ? `all ${cells.length}: ` : ""}${names.join("; ")}.`),
    el(
      "details",
      { class: "as-table" },
      el("summary", {}, "Why, and what it changes"),
      cells.map((one) =>
        el(
          "section",
          { class: "reason" },
          el("h3", {}, nameOf(one)),
          trades.length > 1 && one.verdict.trade && el("p", { class: "small" }, sentence(one.verdict.trade)),
          chips(one),
          why(one).map((part) => el("p", { class: "why small" }, sentence(part))),
          el(
            "p",
            { class: "soft small" },
            [one.verdict.front, one.verdict.noise].filter(Boolean).map(sentence).join(" "),
          ),
          judgedList(one),
          showButton(one),
        ),
      ),
    ),
  );
}

/** Every verdict of the study: precisions down, models and conditions across. */
function matrix() {
  const cellOf = (one, precision) => {
    const entry = one.verdict.judged.find((entry) => entry.precision === precision);
    if (!entry) return "\u2014";
    const { difference } = one.rows.find((row) => row.precision === precision).cells;
    return [
      el("span", { class: `kind ${entry.tone}` }, `${entry.mark} ${entry.word}`),
      ` ${entry.accepted ? "\u2713" : "\u2717"}`,
      el("span", { class: "unseen" }, entry.accepted ? " accepted" : " not accepted"),
      difference.text && el("small", {}, `${difference.text} ${difference.ci}`),
    ];
  };
  const names = data.precisions.filter((name) => name !== data.baseline);
  const table = plainTable(
    ["Precision", ...data.cells.map(nameOf)],
    names.map((name) => [
      [name, data.cells.some((one) => one.verdict.precision === name) && [" ", recommended()]].filter(Boolean),
      ...data.cells.map((one) => cellOf(one, name)),
    ]),
    0,
  );
  table.prepend(caption(`Every precision against ${data.baseline}; \u2713 accepted, \u2717 not accepted`));
  const place = el(
    "div",
    { class: "scroll matrix", role: "region", "aria-label": "All verdicts", tabindex: "0" },
    table,
  );
  const around = el("div", { class: "around" }, place);
  sideways(place);
  return around;
}

/** What the recommended precision changes, in a few numbers: which of them cost more, and which less. */
function chips(one) {
  const row = one.rows.find((row) => row.precision === one.verdict.precision);
  if (!row || row.baseline) return null;
  const found = [];
  const { difference } = row.cells;
  const entry = one.verdict.judged.find((entry) => entry.precision === row.precision);
  const noun = one.columns.find((column) => column.key === "difference").label.includes("points")
    ? `points of ${data.label}`
    : data.label;
  if (difference.text)
    found.push([difference.text, difference.ci, noun, entry && [`${entry.mark} ${entry.word}`, entry.tone]]);
  for (const [key, label] of COSTS) {
    const { ratio, trend, note } = row.cells[key];
    const kind = note || one.columns.find((column) => column.key === key).note;
    if (ratio) found.push([ratio, null, kind ? `${label}, ${kind}` : label, TRENDS[trend]]);
  }
  return el(
    "ul",
    { class: "chips", "aria-label": `Against ${data.baseline}` },
    found.map(([value, ci, label, said]) =>
      el(
        "li",
        { class: said && said[1] },
        el("span", { class: "amount" }, el("b", {}, value), ci && ` ${ci}`),
        ` ${label}`,
        said && el("span", { class: `trend ${said[1]}` }, ` ${said[0]}`),
      ),
    ),
  );
}

function judgedList(one) {
  return el(
    "ul",
    { class: "judged", "aria-label": `Every precision against ${data.baseline}` },
    one.verdict.judged.map((entry) =>
      judged(
        entry,
        one.rows.find((row) => row.precision === entry.precision).cells.difference,
        entry.precision === one.verdict.precision,
      ),
    ),
  );
}

function judged(entry, difference, picked) {
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
          el("span", { class: "who" }, entry.precision, picked && [" ", recommended()]),
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
        el("p", { class: "soft" }, el("b", {}, `${entry.word}: `), entry.meaning),
      ),
    ),
  );
}
