// Which words of an answer are not the baseline's: the longest common sequence of words.
const MOST_WORDS = 400;

/** Pieces of two texts in order: [kind, words], kind being "same", "del" (only in the first) or "ins". */
function differences(before, after) {
  const [a, b] = [before, after].map((text) => text.split(/\s+/).filter(Boolean));
  if (a.length > MOST_WORDS || b.length > MOST_WORDS)
    return [
      ["del", before],
      ["ins", after],
    ];
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1)
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  }
  const pieces = [];
  const add = (kind, word) => {
    if (pieces.length && pieces[pieces.length - 1][0] === kind) pieces[pieces.length - 1][1] += ` ${word}`;
    else pieces.push([kind, word]);
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add("same", a[i]);
      i += 1;
      j += 1;
    } else if (i < a.length && (j === b.length || common[i + 1][j] >= common[i][j + 1])) {
      add("del", a[i]);
      i += 1;
    } else {
      add("ins", b[j]);
      j += 1;
    }
  }
  return pieces;
}

/** An answer's text, with its differences from the baseline's marked as deleted and inserted. */
function marked(text, baseline) {
  if (baseline === null || baseline === text) return text ? [text] : [el("span", { class: "soft" }, "(no answer)")];
  const pieces = differences(baseline, text);
  const nodes = pieces.flatMap(([kind, words], i) => [i ? " " : null, kind === "same" ? words : el(kind, {}, words)]);
  return text ? nodes : [...nodes, " ", el("span", { class: "soft" }, "(no answer)")];
}
