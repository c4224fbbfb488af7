// Quality against a cost, the differences from the baseline, and latency by phase.
const TOLD_BELOW = "The numbers are in the table below.";
const about = (name) => data.metrics.find((one) => one.name === name);
const unitOf = (unit) => (unit ? ` (${unit})` : "");
const between = (value) => (value[1] === null ? "" : ` [${number(value[1])}, ${number(value[2])}]`);
const written = (value) =>
  Array.isArray(value) ? `${number(value[0])}${between(value)}` : absent(value || "not in this run");

/** The trace of one value, at its place or as an arrow at the end of an axis that is cut; `along` is that axis. */
function markOf(one, value, cut, along) {
  const at = cut.beyond[one.precision];
  if (at === undefined) return { mode: "markers", [along]: [value[0]], symbol: symbol(one.precision) };
  const [less, more] = along === "x" ? ["triangle-left", "triangle-right"] : ["triangle-down", "triangle-up"];
  return { mode: "markers+text", [along]: [at], symbol: value[0] < at ? less : more, text: [number(value[0])] };
}

/** What lies beyond an axis, in words. */
function beyond(points, valueOf, cut, unit) {
  const found = points.filter((one) => one.precision in cut.beyond);
  if (!found.length) return "";
  const words = found.map((one) => `${one.precision} at ${written(valueOf(one))}${unit ? ` ${unit}` : ""}`);
  return `The axis is cut; beyond it, as an arrow: ${words.join(", ")}.`;
}

function bars(values) {
  if (values.every((value) => value[1] === null)) return undefined;
  return {
    type: "data",
    symmetric: false,
    array: values.map((v) => (v[1] === null ? 0 : v[2] - v[0])),
    arrayminus: values.map((v) => (v[1] === null ? 0 : v[0] - v[1])),
    thickness: 1.6,
    width: 4,
  };
}

function startPlots() {
  fill(
    $("scatter-quality"),
    data.metrics.map((one) => [one.name, one.label]),
    data.primary,
  );
  fill(
    $("forest-metric"),
    data.metrics
      .filter((one) => data.cells.some((c) => c.plots.points.some((p) => Array.isArray(p.differences[one.name]))))
      .map((one) => [one.name, one.label]),
    data.primary,
  );
  const { costs } = cell();
  const measured = (name) => data.cells.some((c) => c.plots.points.some((p) => Array.isArray(p.costs[name])));
  fill(
    $("scatter-cost"),
    costs.map((one) => [one.metric, measured(one.metric) ? one.heading : `${one.heading} (not measured)`]),
    costs.find((one) => measured(one.metric))?.metric,
  );
  drawInSight("scatter", drawScatter);
  drawInSight("forest", drawForest);
  drawInSight("phases", drawPhases);
  for (const id of ["scatter-quality", "scatter-cost"]) $(id).addEventListener("change", drawScatter);
  $("forest-metric").addEventListener("change", drawForest);
}

function drawScatter() {
  const { plots, costs, fronts, entries, disturbed } = cell();
  const metric = about($("scatter-quality").value);
  const chosen = costs.find((one) => one.metric === $("scatter-cost").value);
  const cost = { name: chosen.metric, label: chosen.heading, unit: chosen.unit };
  // of the primary metric the record tells which are on the front
  const on = metric.name === data.primary ? fronts[cost.name] : [];
  const has = (one) => Array.isArray(one.quality[metric.name]) && Array.isArray(one.costs[cost.name]);
  const points = plots.points.filter(has);
  const front = points
    .filter((one) => on.includes(one.precision))
    .sort((a, b) => a.costs[cost.name][0] - b.costs[cost.name][0]);
  const uncompared = entries.flatMap((entry) => entry.costs[cost.name].incomparable || []);
  $("scatter-table").replaceChildren(
    plainTable(
      [
        "Precision",
        `${metric.label}${unitOf(metric.unit)}`,
        titled(chosen, chosen.note),
        ...(on.length ? ["Pareto front of these two"] : []),
      ],
      plots.points.map((one) => [
        one.precision,
        written(one.quality[metric.name]),
        written(one.costs[cost.name]),
        ...(on.length ? [on.includes(one.precision) ? "yes" : "no"] : []),
      ]),
    ),
  );
  const missing = plots.points.filter((one) => !has(one));
  const cut = plots.cuts[metric.name].quality;
  const middle = Math.max(...points.map((one) => one.costs[cost.name][0])) / 2;
  $("scatter-note").textContent = [
    on.length
      ? "Filled marks and the line: the Pareto front of these two. Open marks: another is as good in both and better " +
        "in one."
      : "",
    points.length ? "Bars: 95 % intervals; points whose bars overlap are not ordered by this picture." : "",
    ...(chosen.timed && disturbed ? [disturbed] : [...new Set(uncompared)].map((text) => `not compared: ${text}`)).map(
      sentence,
    ),
    beyond(points, (one) => one.quality[metric.name], cut, metric.unit),
    notShown(
      missing.map((one) => [
        one.precision,
        typeof one.costs[cost.name] === "string" ? one.costs[cost.name] : one.quality[metric.name],
      ]),
    ),
  ].join(" ");
  if (!points.length) return noPlot("scatter", `${cost.label} was not measured.`);
  const line = css("--soft");
  const traces = [
    {
      type: "scatter",
      mode: "lines",
      name: "Pareto front",
      x: front.map((one) => one.costs[cost.name][0]),
      y: front.map((one) => one.quality[metric.name][0]),
      line: { color: line, width: 1.5, dash: "dot" },
      hoverinfo: "skip",
      showlegend: false,
    },
    ...points.map((one) => {
      const [x, y] = [one.costs[cost.name], one.quality[metric.name]];
      const hue = colour(one.precision);
      const { symbol: mark, ...place } = markOf(one, y, cut, "y");
      return {
        type: "scatter",
        name: stacked(one.precision) + (one.precision === data.baseline ? " (baseline)" : ""),
        x: [x[0]],
        ...place,
        textposition: x[0] < middle ? "middle right" : "middle left",
        error_x: { ...bars([x]), color: hue },
        error_y: place.text ? undefined : { ...bars([y]), color: hue },
        hoverinfo: "text",
        hovertext: [
          hover(
            one.precision,
            `${metric.label} ${number(y[0])}${between(y)} ${metric.unit}`,
            `${cost.label} ${number(x[0])}${between(x)} ${cost.unit} ${chosen.note}`,
            one.unusable,
          ),
        ],
        marker: {
          color: hue,
          size: 12,
          symbol: mark + (!on.length || on.includes(one.precision) ? "" : "-open"),
          line: { width: 2, color: hue },
        },
      };
    }),
  ];
  plot(
    "scatter",
    traces,
    {
      height: 450 + ($("scatter").clientWidth < 420 ? heightOf(points) / 2 : 0),
      xaxis: {
        title: axisTitle(`${titled(chosen, chosen.note)}, ${chosen.higher_is_better ? "more" : "less"} is better`, $("scatter").clientWidth - 90),
        rangemode: "tozero",
      },
      yaxis: {
        title: axisTitle(`${metric.label}${unitOf(metric.unit)}, ${metric.higher_is_better ? "higher" : "lower"} is better`, 320),
        range: cut.axis || undefined,
      },
    },
    `${metric.label} against ${cost.label} of ${points.length} precisions` +
      `${front.length ? `; the Pareto front is ${front.map((one) => one.precision).join(", ")}` : ""}. ${TOLD_BELOW}`,
  );
}

function drawForest() {
  const { plots } = cell();
  const metric = about($("forest-metric").value);
  if (!metric) return noPlot("forest", "There is no other precision to compare.");
  const points = plots.points.filter((one) => one.precision !== data.baseline);
  const known = points.filter((one) => Array.isArray(one.differences[metric.name]));
  const unit = metric.difference_unit;
  $("forest-table").replaceChildren(
    plainTable(
      ["Precision", `Difference in ${metric.label}${unitOf(unit)}`],
      points.map((one) => [one.precision, written(one.differences[metric.name])]),
    ),
  );
  const cut = plots.cuts[metric.name].differences;
  $("forest-note").textContent =
    `Precision minus ${data.baseline}, on the same items, with 95 % intervals. ` +
    (metric.higher_is_better ? "Left of 0 is a loss. " : "Right of 0 is a loss: less is better. ") +
    beyond(known, (one) => one.differences[metric.name], cut, unit) +
    " " +
    notShown(
      points.filter((one) => !known.includes(one)).map((one) => [one.precision, String(one.differences[metric.name])]),
    );
  if (!known.length) return noPlot("forest", "There is nothing to compare.");
  const traces = known.map((one) => {
    const value = one.differences[metric.name];
    const hue = colour(one.precision);
    const { symbol: mark, ...place } = markOf(one, value, cut, "x");
    return {
      type: "scatter",
      name: plain(one.precision),
      ...place,
      textposition: value[0] < 0 ? "middle right" : "middle left",
      y: [stacked(one.precision)],
      showlegend: false,
      hoverinfo: "text",
      hovertext: [hover(one.precision, `${number(value[0])}${between(value)} ${unit}`)],
      error_x: place.text ? undefined : { ...bars([value]), color: hue },
      marker: { color: hue, size: 11, symbol: mark },
    };
  });
  plot(
    "forest",
    traces,
    {
      height: 110 + heightOf(known),
      xaxis: {
        title: axisTitle(`Difference in ${metric.label}${unitOf(unit)}`, $("forest").clientWidth - 200),
        zeroline: false,
        range: cut.axis || undefined,
      },
      yaxis: { type: "category", autorange: "reversed", showgrid: false },
      shapes: [
        {
          type: "line",
          x0: 0,
          x1: 0,
          yref: "paper",
          y0: 0,
          y1: 1,
          line: { color: css("--ink"), width: 1.5, dash: "dash" },
        },
      ],
    },
    `Difference of ${known.length} precisions from ${data.baseline} in ${metric.label}. ${TOLD_BELOW}`,
  );
}

function drawPhases() {
  const { plots, costs, disturbed } = cell();
  const unit = costs.find((one) => one.metric === "latency").unit;
  const phases = plots.phases.filter((phase) => plots.points.some((one) => Array.isArray(one.phases[phase.name])));
  const known = plots.points.filter((one) => phases.some((phase) => Array.isArray(one.phases[phase.name])));
  $("phases-table").replaceChildren(
    plainTable(
      ["Precision", ...phases.map((phase) => `${phase.label} (${unit})`), `whole call (${unit})`],
      plots.points.map((one) => [
        one.precision,
        ...phases.map((phase) => written(one.phases[phase.name])),
        written(one.costs.latency),
      ]),
    ),
  );
  $("phases-note").textContent =
    "Medians per item at batch size 1. Diamonds: the whole call, with its 95 % interval; phases are timed apart, so " +
    "they need not add up to it. " +
    (disturbed ? `${sentence(disturbed)} ` : "") +
    notShown(
      plots.points
        .filter((one) => !known.includes(one))
        .map(({ precision, costs }) => [
          precision,
          typeof costs.latency === "string" ? costs.latency : "its phases were not timed",
        ]),
    );
  if (!known.length) return noPlot("phases", "No phase was timed.");
  const scale = dark.matches ? PHASES_DARK : PHASES_LIGHT;
  const traces = phases.map((phase, i) => ({
    type: "bar",
    orientation: "h",
    name: plain(phase.label),
    y: known.map((one) => stacked(one.precision)),
    x: known.map((one) => (Array.isArray(one.phases[phase.name]) ? one.phases[phase.name][0] : null)),
    hoverinfo: "text",
    hovertext: known.map((one) =>
      Array.isArray(one.phases[phase.name])
        ? hover(`${one.precision}, ${phase.label}`, `${number(one.phases[phase.name][0])} ${unit}`)
        : "",
    ),
    marker: {
      color: scale[phases.length === 1 ? 2 : Math.round((i * (scale.length - 1)) / (phases.length - 1))],
      line: { color: css("--sheet"), width: 1 },
    },
  }));
  const whole = known.filter((one) => Array.isArray(one.costs.latency));
  traces.push({
    type: "scatter",
    mode: "markers",
    name: "whole call",
    x: whole.map((one) => one.costs.latency[0]),
    y: whole.map((one) => stacked(one.precision)),
    error_x: { ...bars(whole.map((one) => one.costs.latency)), color: css("--ink") },
    hoverinfo: "text",
    hovertext: whole.map((one) =>
      hover(`${one.precision}, whole call`, `${number(one.costs.latency[0])}${between(one.costs.latency)} ${unit}`),
    ),
    marker: { color: css("--sheet"), size: 9, symbol: "diamond", line: { color: css("--ink"), width: 1.8 } },
  });
  plot(
    "phases",
    traces,
    {
      height: 150 + heightOf(known) + ($("phases").clientWidth < 420 ? 22 * phases.length : 0),
      barmode: "stack",
      bargap: 0.35,
      xaxis: { title: axisTitle(`Latency (${unit})`, 200), rangemode: "tozero" },
      yaxis: { type: "category", autorange: "reversed", showgrid: false },
    },
    `Latency of ${known.length} precisions by phase: ${phases.map((phase) => phase.label).join(", ")}. ${TOLD_BELOW}`,
  );
}
