// The browser of examples: step through items, all precisions side by side.
const FILTERS = {
  all: "all items",
  changed: "changed",
  worse: data.changes.worse,
  better: data.changes.better,
};
const CHANGES = {
  same: ["=", "same answer", ""],
  changed: ["~", "changed, scores the same", "unsure"],
  better: ["\u25b2", FILTERS.better, "good"],
  worse: ["\u25bc", FILTERS.worse, "bad"],
};
const looked = { filter: "all", precision: "", list: [], at: 0, pointed: false };

const answersOf = (item) => (item.answers[shown.model] || {})[shown.condition] || {};

function matches(item, filter) {
  if (filter === "all") return true;
  const answers = answersOf(item);
  const found = (looked.precision ? [looked.precision] : data.precisions).map((name) => answers[name]).filter(Boolean);
  return found.some((one) => (filter === "changed" ? one.change && one.change !== "same" : one.change === filter));
}

function startExamples() {
  const { items, total, redaction } = data.examples;
  $("examples-note").textContent = [
    items.length < total
      ? `${items.length} of ${total} items: those whose answers changed most first, then others spread over the rest.`
      : `All ${total} items, those whose answers changed most first.`,
    "Step with the keys J and K, or with the arrow keys. Changed: another answer than the baseline's, whether it scores higher, lower or the same.",
    redaction,
  ]
    .filter(Boolean)
    .join(" ");
  $("filter").append(
    ...Object.keys(FILTERS).map((name) =>
      el(
        "label",
        {},
        el("input", {
          type: "radio",
          name: "filter",
          value: name,
          checked: name === looked.filter,
          onchange: () => {
            choose({ filter: name });
            release();
          },
        }),
        el("span", { id: `filter-${name}` }),
      ),
    ),
  );
  fill($("filter-precision"), [["", "any precision"], ...others.map((name) => [name, name])]);
  $("filter-precision").addEventListener("change", (event) => {
    choose({ precision: event.target.value });
    release();
  });
  $("ids").append(...items.map((item) => el("option", { value: item.id })));
  $("jump").addEventListener("change", (event) => goTo(event.target.value.trim()));
  $("tools").addEventListener("submit", (event) => {
    event.preventDefault();
    if (goTo($("jump").value.trim())) $("item").focus({ preventScroll: true });
  });
  $("tools").addEventListener("pointerdown", () => (looked.pointed = true));
  $("tools").addEventListener("keydown", () => (looked.pointed = false));
  $("back").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  addEventListener("keydown", byKey);
  whenShown(() => choose({}));
}

/** After a choice with a pointer the arrow keys step through items; reached by keyboard, they go on choosing. */
function release() {
  if (looked.pointed) $("item").focus({ preventScroll: true });
}

function byKey(event) {
  const letter = { j: 1, k: -1 }[event.key.toLowerCase()];
  const by = letter || { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const target = event.target;
  if (target !== document.body && !$("examples").contains(target)) return;
  if (target.matches(letter ? "input:not([type=radio]), select" : "input, select, .scroll, .scroll *")) return;
  const place = $("examples").getBoundingClientRect();
  if (place.bottom < 80 || place.top > innerHeight - 80) return;
  event.preventDefault();
  step(by);
}

/** Take another filter; the item that is shown stays, where the filter lets it. */
function choose(change) {
  const before = looked.list[looked.at];
  Object.assign(looked, change);
  for (const [name, label] of Object.entries(FILTERS))
    $(`filter-${name}`).textContent = `${label} ${data.examples.items.filter((item) => matches(item, name)).length}`;
  looked.list = data.examples.items.filter((item) => matches(item, looked.filter));
  looked.at = Math.max(0, looked.list.indexOf(before));
  $("filter").querySelector(`[value=${looked.filter}]`).checked = true;
  $("filter-precision").value = looked.precision;
  drawItem();
}

function step(by) {
  looked.at = Math.min(Math.max(looked.at + by, 0), Math.max(looked.list.length - 1, 0));
  drawItem();
  remember();
}

function goTo(id) {
  const item = data.examples.items.find((one) => one.id === id);
  if (!item) {
    if (id) $("place").textContent = `There is no item ${id} in this page.`;
    return false;
  }
  if (!looked.list.includes(item)) choose({ filter: "all" });
  looked.at = looked.list.indexOf(item);
  drawItem();
  remember();
  return true;
}

/** The item and the filter stand in the address, so that a link leads to them. */
function remember() {
  const item = looked.list[looked.at];
  const state = new URLSearchParams({
    item: item ? item.id : "",
    filter: looked.filter,
    precision: looked.precision,
    model: shown.model,
    condition: shown.condition,
  });
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    /* some browsers keep no address for a file */
  }
}

function recall() {
  const state = new URLSearchParams(location.hash.slice(1));
  if (!state.get("item")) return;
  show(state.get("model"), state.get("condition"));
  const precision = others.includes(state.get("precision")) ? state.get("precision") : "";
  choose({ filter: Object.hasOwn(FILTERS, state.get("filter")) ? state.get("filter") : "all", precision });
  goTo(state.get("item"));
  $("examples").scrollIntoView();
}

function drawItem() {
  const item = looked.list[looked.at];
  $("back").disabled = !item || looked.at === 0;
  $("next").disabled = !item || looked.at === looked.list.length - 1;
  $("place").textContent = item
    ? `${looked.at + 1} of ${looked.list.length} \u00b7 item ${item.id}`
    : "No item is like that.";
  $("item").replaceChildren(...(!item ? [] : data.own === "boxes" ? boxItem(item) : textItem(item)));
}

function textItem(item) {
  const question = item.question || data.prompt || "";
  const answers = answersOf(item);
  const base = (answers[data.baseline] || {}).text;
  const wordy = !data.prompt;
  return [
    el(
      "div",
      { class: wordy ? "shown wordy" : "shown" },
      el(
        "div",
        { class: "asked" },
        picture(item),
        question &&
          el(
            "div",
            {},
            el(
              "p",
              { class: "what" },
              wordy ? data.item : item.question ? "Question" : "Prompt",
            ),
            el("p", { class: "question", dir: "auto" }, question),
          ),
        item.references.length > 0 &&
          el(
            "div",
            {},
            el("p", { class: "what" }, data.expected),
            el(
              "ul",
              { class: "references" },
              item.references.map(([text, count]) =>
                el("li", { dir: "auto" }, text, count > 1 && el("b", {}, ` \u00d7${count}`)),
              ),
            ),
          ),
      ),
      el(
        "div",
        { class: "answers" },
        data.precisions.map(
          (name) =>
            answers[name] &&
            el(
              "article",
              {
                class: name === data.baseline ? "answer base" : "answer",
                hue: colour(name),
                "data-precision": name,
              },
              heading(name, answers[name]),
              el(
                "p",
                { class: "text", dir: "auto" },
                marked(answers[name].text, name === data.baseline || base === undefined ? null : base),
              ),
              flags(answers[name]),
            ),
        ),
      ),
    ),
  ];
}

function boxItem(item) {
  const answers = answersOf(item);
  return [
    boxLegend(),
    item.withheld && picture(item),
    el(
      "div",
      { class: "panels" },
      panel(
        item,
        el("div", {}, el("b", {}, "Annotated objects")),
        item.objects.map((object) => ({ ...object, kind: "object" })),
        [],
      ),
      data.precisions
        .filter((name) => answers[name])
        .map((name) => {
          const found = answers[name].detections || [];
          return panel(
            item,
            el("div", {}, heading(name, answers[name]), flags(answers[name])),
            found,
            missedBy(found, item.objects),
          );
        }),
    ),
  ].filter(Boolean);
}

function picture(item) {
  if (item.withheld) return el("p", { class: "withheld" }, `The picture is not shown: ${item.withheld}.`);
  if (item.image === null || item.image === undefined) return null;
  return el("img", { src: data.examples.images[item.image], alt: `Picture of item ${item.id}` });
}

function heading(name, answer) {
  const [mark, words, tone] = CHANGES[answer.change] || [];
  return el(
    "header",
    { hue: colour(name) },
    el("b", {}, el("span", { class: "dot" }), name),
    name === data.baseline
      ? el("span", { class: "tag" }, "baseline")
      : mark && el("span", { class: `tag ${tone}` }, `${mark} ${words}`),
    answer.value !== null && answer.value !== undefined && worth(answer.value),
  );
}

/** What an answer is worth by itself: right, wrong or in between; or a value with its name. */
function worth(value) {
  const props = { class: "worth", title: sentence(data.worth) };
  if (data.own === "boxes")
    return el("span", props, `right \u2212 wrong boxes: ${String(value).replace("-", "\u2212")}`);
  if (data.own === "value") return el("span", props, `item ${data.label} ${number(value)}`);
  if (value >= 1) return el("span", props, el("b", { class: "good" }, "\u2713 right"));
  if (value <= 0) return el("span", props, el("b", { class: "bad" }, "\u2717 wrong"));
  return el("span", props, el("b", { class: "unsure" }, "\u00bd partly right"), `, ${number(value)}`);
}

function flags(answer) {
  return (
    answer.flags &&
    answer.flags.length > 0 &&
    el(
      "p",
      { class: "flags" },
      answer.flags.map((flag) => [el("span", { class: "tag bad" }, `\u2691 ${flag}`), " "]),
    )
  );
}
