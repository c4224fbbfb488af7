// The verdict: what is recommended of every model and condition, and what is said of each precision.
const AT_ONCE = 2; // of so many models and conditions each has its own card
// of a cost against the baseline's: a sign, and the tone of what is neither better nor worse
const SIGNS = { less: "\u25bc", more: "\u25b2", unclear: "\u2248", same: "=" };
const TONES = { unclear: "unsure", same: "" };

function drawVerdicts() {
  const title = data.title || data.study;
  document.title = `${title}: results`;
  $("title").textContent = title;
  $("name").textContent = data.study;
  $("description").textContent = [data.title ? data.study : null, data.description].filter(Boolean).join(": ");
  $("description").hidden = !$("description").textContent;
  $("demo").hidden = !data.demo;
  $("accept").textContent = `${data.rule} An answer scores higher or lower by ${data.worth}. ${data.left_out.join(" ")}`;
  $("verdicts").classList.toggle("summed", data.cells.length > AT_ONCE);
  $("verdicts").replaceChildren(...(data.cells.length > AT_ONCE ? summed() : data.cells.map(verdictCard)));
  meanings();
}

/** With a full stop, and a capital where it begins with a word and not with a name. */
function sentence(text) {
  const [first] = text.split(/[ :,]/);
  const word = /^[\p{L}-]+$/u.test(first) && ![...data.precisions, ...data.models].includes(first);
  const start = word ? text[0].toUpperCase() : text[0];
  return `${start}${text.slice(1).replace(/\.$/, "").replaceAll(" %", "\u00a0%")}.`;
}

const judgedOf = (one) => one.entries.filter((entry) => !entry.baseline);
const entryOf = (one, precision) => one.entries.find((entry) => entry.precision === precision);
const differenceOf = (entry) => (entry.metrics[data.primary] || {}).difference || {};

const recommended = () => el("span", { class: "tag picked" }, "recommended");

/** What each kind of verdict that occurs means. */
function meanings() {
  $("meanings").hidden = data.kinds.length === 0;
  $("kinds").replaceChildren(
    ...data.kinds.flatMap((kind) => [
      el("dt", { class: kind.tone }, `${kind.mark} ${kind.word}`),
      el("dd", {}, kind.meaning),
    ]),
  );
}

/** A recommendation: how it is said, the precision, and what it trades; of one among several, what it prefers. */
function take({ precision, prefer, trade }, several, traded = true) {
  const stay = precision === data.baseline;
  const words = stay ? "Recommended: stay with the baseline" : `Recommended instead of ${data.baseline}`;
  return el(
    "div",
    {},
    precision && el("p", { class: "take" }, several ? `${words}, for the least ${prefer}` : words),
    el(
      "p",
      precision ? { class: "big", letters: Math.max(...parts(precision).map((part) => part.length)) } : { class: "big none" },
      precision || "Nothing is recommended",
    ),
    traded && trade && el("p", { class: "trade" }, sentence(trade)),
  );
}

/** Why: of each profile the first clause, and the others small. */
function why(one) {
  const several = one.profiles.length > 1;
  return one.profiles.map(({ prefer, precision, clauses: [first, ...rest] }) => [
    el("p", { class: "why" }, several && el("b", {}, `Least ${prefer}: ${precision || "nothing"}. `), sentence(first)),
    rest.map((part) => el("p", { class: "why soft small" }, sentence(part))),
  ]);
}

/** What holds of the whole cell: that timings say nothing, the Pareto front, the noise floor, the machine's floor. */
function standing(one) {
  const { reaches } = entryOf(one, data.baseline);
  return [
    one.disturbed && el("p", { class: "banner disturbed" }, sentence(one.disturbed)),
    el("p", { class: "soft small" }, [one.pareto.sentence, one.noise_floor].map(sentence).join(" ")),
    reaches && el("p", { class: "soft small" }, sentence(`${data.baseline}: ${reaches}`)),
  ];
}

function verdictCard(one) {
  return el(
    "article",
    { class: "card verdict" },
    one.name && el("h2", { class: "of" }, one.name),
    one.profiles.map((profile) => [take(profile, one.profiles.length > 1), chips(one, profile.precision)]),
    el("p", {}, sentence(one.outcome.sentence)),
    judgedList(one),
    why(one),
    standing(one),
    data.cells.length > 1 && showButton(one),
  );
}

function showButton(one) {
  const words = one.name;
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
  for (const one of data.cells) {
    const precisions = one.profiles.map((profile) => profile.precision).join("\n");
    groups.set(precisions, [...(groups.get(precisions) || []), one]);
  }
  return [
    el("div", { class: "cards" }, [...groups.values()].map(groupCard)),
    matrix(),
  ];
}

function groupCard(cells) {
  const many = cells.length === data.cells.length;
  const { profiles } = cells[0];
  const alike = (i) => cells.every((one) => one.profiles[i].trade === profiles[i].trade);
  const names = cells.map((one) => one.name);
  return el(
    "article",
    { class: "card verdict" },
    profiles.map((profile, i) => take(profile, profiles.length > 1, alike(i))),
    el("p", { class: "soft" }, `For ${many ? `all ${cells.length}: ` : ""}${names.join("; ")}.`),
    el(
      "details",
      { class: "as-table" },
      el("summary", {}, "Why, and what it changes"),
      cells.map((one) =>
        el(
          "section",
          { class: "reason" },
          el("h3", {}, one.name),
          el("p", { class: "small" }, sentence(one.outcome.sentence)),
          one.profiles.map((profile) => chips(one, profile.precision)),
          why(one),
          standing(one),
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
    const entry = entryOf(one, precision);
    const difference = differenceOf(entry);
    return [
      el("span", { class: `kind ${entry.tone}` }, `${entry.mark} ${entry.word}`),
      ` ${entry.accepted ? "\u2713" : "\u2717"}`,
      el("span", { class: "unseen" }, entry.accepted ? " accepted" : " not accepted"),
      difference.text && el("small", {}, `${difference.text} ${difference.interval}`),
    ];
  };
  const names = data.precisions.filter((name) => name !== data.baseline);
  const table = plainTable(
    ["Precision", ...data.cells.map((one) => one.name)],
    names.map((name) => [
      [name, data.cells.some((one) => picks(one, name)) && [" ", recommended()]].filter(Boolean),
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

const picks = (one, precision) => one.profiles.some((profile) => profile.precision === precision);

/** What a recommended precision changes, in a few numbers: which of them cost more, and which less. */
function chips(one, precision) {
  const entry = entryOf(one, precision);
  if (!entry || entry.baseline) return null;
  const found = [];
  const difference = differenceOf(entry);
  const unit = data.metrics[0].difference_unit;
  const noun = unit ? `${unit} of ${data.label}` : data.label;
  if (difference.text)
    found.push([difference.text, difference.interval, noun, [`${entry.mark} ${entry.word}`, entry.tone]]);
  for (const cost of one.costs.filter((cost) => one.main_costs.includes(cost.metric))) {
    const { times, relation, better, word, note } = entry.costs[cost.metric];
    const tone = better === true ? "good" : better === false ? "bad" : TONES[relation];
    const kind = cost.note || note;
    if (times) found.push([times, null, kind ? `${cost.name}, ${kind}` : cost.name, [`${SIGNS[relation]} ${word}`, tone]]);
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
    judgedOf(one).map((entry) => judged(entry, differenceOf(entry), picks(one, entry.precision))),
  );
}

const kindOf = (entry) => data.kinds.find((kind) => kind.kind === entry.kind);

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
          difference.text && el("span", { class: "by" }, `${difference.text} ${difference.interval}`),
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
        entry.trade && el("p", { class: "soft" }, sentence(`against ${data.baseline}: ${entry.trade}`)),
        entry.why && el("p", { class: "soft" }, sentence(`latency: ${entry.why}`)),
        entry.reaches && el("p", { class: "soft" }, sentence(entry.reaches)),
        el("p", { class: "soft" }, [entry.answers, entry.pareto_sentence].map(sentence).join(" ")),
        el("p", { class: "soft" }, el("b", {}, `${entry.word}: `), kindOf(entry).meaning),
      ),
    ),
  );
}
