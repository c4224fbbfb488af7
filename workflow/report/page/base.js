// What all parts of the page share: the data, making elements, the model and condition that are shown, and the tip.
// Text is only ever set as text: nothing of the data is read as HTML.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "hue" || name === "letters") made.style.setProperty(`--${name}`, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function svg(tag, props = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** What a name is broken into where there is no room for the whole of it. */
const parts = (name) => name.split(/(?<=-)/);

function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

const announce = (text) => {
  $("status").textContent = text;
};

/** Three significant digits, as the study's other outputs write them. */
function number(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 100 ? value.toFixed(0) : size >= 1e-4 ? value.toPrecision(3) : value.toExponential(1);
  return text.replace("-", "\u2212");
}

// --- which model and condition is shown ---
const shown = { model: data.models[0], condition: data.conditions[0] };
const watchers = [];
const cell = () => data.cells.find((one) => one.model === shown.model && one.condition === shown.condition);

function show(model, condition) {
  if (!data.models.includes(model) || !data.conditions.includes(condition)) return;
  Object.assign(shown, { model, condition });
  $("model").value = model;
  $("condition").value = condition;
  watchers.forEach((tell) => tell());
}

/** Have `draw` called now, and whenever another model or condition is chosen. */
function whenShown(draw) {
  watchers.push(draw);
  draw();
}

/** A cost with its unit, which the name of a rate has. */
const titled = (cost, more = "") =>
  cost.name.startsWith(cost.unit) ? `${cost.heading}${more && ` (${more})`}` : `${cost.heading} (${cost.unit}${more && `, ${more}`})`;

// --- the tip: why a value is absent, and what else does not fit beside it ---
let tipped = null; // what the tip stands beside

function placeTip() {
  const at = tipped.getBoundingClientRect();
  const size = $("tip").getBoundingClientRect();
  $("tip").style.left = `${Math.max(12, Math.min(at.left, innerWidth - size.width - 12))}px`;
  $("tip").style.top = `${at.bottom + 8 + size.height > innerHeight ? at.top - size.height - 8 : at.bottom + 8}px`;
}

function hideTip() {
  tipped = null;
  $("tip").hidden = true;
}

function tip(target, text) {
  const on = () => {
    tipped = target;
    $("tip").textContent = text;
    $("tip").hidden = false;
    placeTip();
  };
  for (const name of ["mouseenter", "focus", "click"]) target.addEventListener(name, on);
  for (const name of ["mouseleave", "blur"]) target.addEventListener(name, hideTip);
  return target;
}

// what has the focus may have been scrolled into sight just now
addEventListener("scroll", () => (tipped && tipped === document.activeElement ? placeTip() : hideTip()), {
  passive: true,
  capture: true,
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});

/** A dash that says why there is no value: on hover, by keyboard and by touch; not `stop`, no stop of the keyboard. */
function absent(reason, stop = true) {
  const words = { class: "absent", "aria-label": `absent: ${reason}` };
  const dash = stop
    ? el("button", { type: "button", ...words }, "\u2014")
    : el("span", { role: "img", ...words }, "\u2014");
  return tip(dash, reason);
}

/** Where a table is wider than its place, a line above it says so, and the edge that hides something is shaded. */
function sideways(place) {
  const hint = el(
    "p",
    { class: "sideways small", hidden: true, "aria-hidden": "true" },
    "\u2194 scroll sideways for more columns",
  );
  place.before(hint);
  const look = () => {
    const left = place.scrollWidth - place.clientWidth;
    hint.hidden = left < 2;
    place.classList.toggle("more", left - place.scrollLeft > 2);
  };
  place.addEventListener("scroll", look, { passive: true });
  const sizes = new ResizeObserver(look);
  sizes.observe(place);
  new MutationObserver(() => {
    for (const child of place.children) sizes.observe(child);
    look();
  }).observe(place, { childList: true });
  look();
}

/** A caption that stays in sight where its table is scrolled sideways. */
const caption = (text) => el("caption", {}, el("span", {}, text));

/** A table of rows of cells; a cell is a text or an element. */
function plainTable(heads, rows, numbers = heads.length) {
  const from = heads.length - numbers;
  const line = (values, tag) =>
    values.map((value, i) =>
      el(
        i === 0 && tag === "td" ? "th" : tag,
        { class: i >= from && i > 0 ? "number" : null, scope: tag === "th" ? "col" : i === 0 ? "row" : null },
        value,
      ),
    );
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, line(heads, "th"))),
    el(
      "tbody",
      {},
      rows.map((row) => el("tr", {}, line(row, "td"))),
    ),
  );
}
