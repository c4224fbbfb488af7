// Detections drawn over the picture: right, wrong and missed are told apart by line, colour and words.
const OVERLAP = 0.5; // intersection over union from which an object counts as found

function overlap(a, b) {
  const wide = Math.max(0, Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]));
  const high = Math.max(0, Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]));
  return (wide * high) / (a[2] * a[3] + b[2] * b[3] - wide * high) || 0;
}

/** The objects that none of the right detections is of. */
function missedBy(detections, objects) {
  const left = objects.filter((object) => !object.crowd);
  for (const found of detections.filter((one) => one.right)) {
    const fits = left
      .map((object, i) => [object.name === found.name ? overlap(object.bbox, found.bbox) : 0, i])
      .sort((a, b) => b[0] - a[0]);
    if (fits.length && fits[0][0] >= OVERLAP) left.splice(fits[0][1], 1);
  }
  return left;
}

function box(kind, [x, y, width, height], words) {
  const at = { x, y, width, height };
  return svg(
    "g",
    {},
    svg("title", {}, words),
    svg("rect", { ...at, class: "halo" }),
    svg("rect", { ...at, class: kind }),
  );
}

function panel(item, heading, detections, missed) {
  const kind = (one) =>
    one.kind || (one.right === null || one.right === undefined ? "ignored" : one.right ? "right" : "wrong");
  const name = (one) => `${kind(one)}: ${one.name}${one.score === undefined ? "" : ` ${one.score.toFixed(2)}`}`;
  const drawn = [
    ...missed.map((one) => box("missed", one.bbox, `missed: ${one.name}`)),
    ...detections.map((one) => box(kind(one), one.bbox, name(one))),
  ];
  const named = (list) =>
    list.map((one) => one.name + (one.score === undefined ? "" : ` ${one.score.toFixed(2)}`)).join(", ");
  const found = [
    ["object", ""],
    ["right", "\u2713"],
    ["wrong", "\u2717"],
    ["ignored", "\u2013"],
  ].map(([which, mark]) => [mark, which, named(detections.filter((one) => kind(one) === which))]);
  found.push(["?", "missed", named(missed)]);
  const lines = found.filter(([, , names]) => names);
  const picture = item.image === null || item.image === undefined ? null : data.examples.images[item.image];
  const canvas = svg("svg", {
    viewBox: `0 0 ${item.width} ${item.height}`,
    role: "img",
    "aria-label": lines.map(([, which, names]) => `${which}: ${names}`).join("; ") || "no boxes",
  });
  if (picture)
    canvas.append(
      svg("image", { href: picture, x: 0, y: 0, width: item.width, height: item.height, preserveAspectRatio: "none" }),
    );
  canvas.append(...drawn);
  return el(
    "figure",
    {},
    canvas,
    el(
      "figcaption",
      {},
      heading,
      lines.map(([mark, which, names]) =>
        el(
          "p",
          { class: "found" },
          which !== "object" &&
            el("span", { class: { right: "good", wrong: "bad", missed: "unsure" }[which] || "" }, `${mark} ${which}: `),
          names,
        ),
      ),
      lines.length === 0 && el("p", { class: "found" }, "no boxes"),
    ),
  );
}

function boxLegend() {
  const key = (kind, words) =>
    el(
      "li",
      {},
      svg(
        "svg",
        { viewBox: "0 0 36 10", "aria-hidden": "true" },
        svg("line", { x1: 1, y1: 5, x2: 35, y2: 5, class: kind }),
      ),
      words,
    );
  return el(
    "ul",
    { class: "legend" },
    key("object", "annotated object"),
    key("right", "right"),
    key("wrong", "wrong"),
    key("missed", "missed object"),
  );
}
