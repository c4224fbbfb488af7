// How plots look in both schemes, and when they are drawn: not before they come into sight.
const dark = matchMedia("(prefers-color-scheme: dark)");
const fine = matchMedia("(pointer: fine)").matches;
// The colours of the study's figures; in the dark the same hues, lighter where they would not stand out.
const LIGHT = [
  "#0072B2",
  "#E69F00",
  "#009E73",
  "#D55E00",
  "#56B4E9",
  "#CC79A7",
  "#332288",
  "#999933",
  "#882255",
  "#44AA99",
  "#DDCC77",
  "#AA4499",
];
const DARK = [
  "#4BA3DB",
  "#E69F00",
  "#2DBE95",
  "#F07F3C",
  "#8CCBF2",
  "#DE9CC0",
  "#9A8EE0",
  "#BDBD55",
  "#CF6E9B",
  "#5EC4B3",
  "#DDCC77",
  "#CE77BF",
];
const SYMBOLS = [
  "circle",
  "square",
  "triangle-up",
  "cross",
  "star",
  "triangle-down",
  "pentagon",
  "hexagon",
  "x",
  "bowtie",
  "hourglass",
  "star-diamond",
];
// Of light scale, in the order of the phases; told apart by lightness alone.
const PHASES_LIGHT = ["#C3CEDA", "#8FADCD", "#5585B5", "#1F4E79"];
const PHASES_DARK = ["#DDE6EF", "#9DBBDA", "#5F93C7", "#3A6590"];

const others = data.precisions.filter((name) => name !== data.baseline);
function colour(precision) {
  if (precision === data.baseline) return dark.matches ? "#C9CCD1" : "#4D4D4D";
  const palette = dark.matches ? DARK : LIGHT;
  return palette[others.indexOf(precision) % palette.length];
}
function symbol(precision) {
  return precision === data.baseline ? "diamond" : SYMBOLS[others.indexOf(precision) % SYMBOLS.length];
}
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A text as Plotly shows it: what it would read as markup stands there as it is. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}
const hover = (...lines) => lines.filter(Boolean).map(plain).join("<br>");

/** A name in lines that are broken after hyphens: a tick or a legend has little room, the least on a phone. */
function linesOf(name) {
  const most = innerWidth < 640 ? 16 : 26; // letters
  const lines = [""];
  for (const part of parts(name)) {
    if (lines.at(-1) && lines.at(-1).length + part.length > most) lines.push(part);
    else lines[lines.length - 1] += part;
  }
  return lines;
}
const stacked = (name) => linesOf(name).map(plain).join("<br>");

/** The height of rows in a chart that has a row for each of these precisions. */
const heightOf = (points) => points.length * Math.max(38, ...points.map((one) => 12 + 17 * linesOf(one.precision).length));

/** The title of an axis, in lines that fit the plot's width, or its height. */
function axisTitle(text, room) {
  const most = Math.max(14, Math.floor(room / 7.5));
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + word.length >= most) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return { text: lines.map(plain).join("<br>") };
}

/** Why points are not in a plot: each reason once, after the precisions that it holds for. */
function notShown(entries) {
  const names = new Map();
  for (const [name, reason] of entries) {
    const words = reason.replace(/^.+? (is|are) simulated/, "simulated").replace(/\.$/, "");
    names.set(words, [...(names.get(words) || []), name]);
  }
  return [...names].map(([reason, found]) => `Not shown: ${found.join(", ")} (${reason}).`).join(" ");
}

function layout(more) {
  const axis = {
    gridcolor: css("--line"),
    linecolor: css("--soft"),
    zerolinecolor: css("--line"),
    tickcolor: css("--soft"),
    automargin: true,
    title: { standoff: 12 },
  };
  const made = {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: css("--sans"), size: 13, color: css("--ink") },
    margin: { l: 56, r: 18, t: 12, b: 48 },
    dragmode: fine ? "zoom" : false,
    hovermode: "closest",
    autosize: true,
    hoverlabel: {
      bgcolor: css("--ink"),
      bordercolor: css("--ink"),
      font: { color: css("--ground"), family: css("--sans") },
      align: "left",
    },
    legend: {
      orientation: "h",
      yref: "container",
      y: 0,
      yanchor: "bottom",
      x: 0,
      traceorder: "normal",
      font: { size: 12.5 },
      itemclick: false,
      itemdoubleclick: false,
    },
    transition: { duration: 0 },
    ...more,
  };
  for (const name of ["xaxis", "yaxis"])
    made[name] = { ...axis, ...more[name], title: { ...axis.title, ...(more[name] || {}).title } };
  return made;
}

const CONFIG = {
  displaylogo: false,
  responsive: true,
  displayModeBar: fine ? "hover" : false,
  scrollZoom: false,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};

function plot(id, traces, more, words) {
  const place = $(id);
  place.classList.remove("none");
  place.setAttribute("aria-label", words);
  place.removeAttribute("aria-labelledby");
  Plotly.react(place, traces, layout(more), CONFIG);
}

/** A plot for which nothing was measured says so. */
function noPlot(id, words) {
  if ($(id).classList.contains("js-plotly-plot")) Plotly.purge($(id));
  $(id).classList.add("none");
  $(id).textContent = words;
}

// --- when ---
const waiting = new Map();
const watched = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) drawNow(entry.target);
  },
  { rootMargin: "500px" },
);

function drawNow(place) {
  watched.unobserve(place);
  const draw = waiting.get(place);
  if (!draw || draw.done) return;
  draw.done = true;
  draw();
}

/** Draw in this place once it comes into sight, and again for another model, condition or colour scheme. */
function drawInSight(id, draw) {
  waiting.set($(id), draw);
  watched.observe($(id));
  const again = () => {
    if (draw.done) draw();
  };
  watchers.push(again);
  dark.addEventListener("change", again);
}

addEventListener("beforeprint", () => [...waiting.keys()].forEach(drawNow));
