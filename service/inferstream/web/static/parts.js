// What the page is made of: elements, lists that are changed in place, sparklines, and how figures are written.

const SVG = "http://www.w3.org/2000/svg";

/** An element with classes, attributes and children; text goes in as text. */
export function el(tag, classes = "", attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Text is written only where it changed, so that what is selected stays so. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show the items in `parent`: each is made once by its key, then shown anew; what is gone goes. */
export function each(parent, items, key, make) {
  const known = (parent.shown ??= new Map());
  const keys = new Set(items.map(key));
  for (const [name, part] of known) {
    if (!keys.has(name)) {
      part.node.remove();
      known.delete(name);
    }
  }
  items.forEach((item, place) => {
    const name = key(item);
    if (!known.has(name)) known.set(name, make(item));
    const part = known.get(name);
    if (parent.children[place] !== part.node) parent.insertBefore(part.node, parent.children[place] ?? null);
    part.show(item);
  });
}

/** Shares of a whole as coloured parts of a bar. */
export function bar(classes, kinds) {
  const node = el("div", classes, { "aria-hidden": "true" });
  const parts = kinds.map((kind) => el("span", kind));
  node.append(...parts);
  return {
    node,
    show(values) {
      const sum = values.reduce((all, value) => all + value, 0);
      parts.forEach((part, place) => {
        part.hidden = !(values[place] > 0);
        part.style.width = sum ? `${(100 * values[place]) / sum}%` : "0";
      });
    },
  };
}

/** A line over the last minutes. Where nothing is known, or nobody looked, there is a gap. */
export function sparkline(label, spanMs) {
  const shape = (tag, name) => {
    const node = document.createElementNS(SVG, tag);
    if (name) node.setAttribute("class", name);
    return node;
  };
  const node = shape("svg", "spark");
  const [area, path, limit] = [shape("path", "area"), shape("path"), shape("line")];
  node.setAttribute("viewBox", "0 0 100 100");
  node.setAttribute("preserveAspectRatio", "none");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  node.append(area, path, limit);
  return {
    node,
    /** `points` are [ms, value]; `at` is now, `line` a value to compare with. */
    show(points, at, line) {
      const known = points.filter(([, value]) => value !== null);
      const most = Math.max(line ?? 0, ...known.map(([, value]) => value), 1e-9);
      const top = 1.15 * (line ? Math.min(most, 3 * line) : most); // a peak must not flatten all the rest
      const x = (ms) => (100 * (1 + (ms - at) / spanMs)).toFixed(2);
      const y = (value) => Math.max(0, 100 * (1 - value / top)).toFixed(2);
      const runs = [];
      let last = -Infinity;
      for (const [ms, value] of known) {
        if (ms - last > 3000) runs.push([]);
        runs.at(-1).push([x(ms), y(value)]);
        last = ms;
      }
      path.setAttribute("d", runs.map((run) => `M${run.join("L")}`).join(""));
      area.setAttribute("d", runs.map((run) => `M${run[0][0]},100L${run.join("L")}L${run.at(-1)[0]},100Z`).join(""));
      limit.toggleAttribute("hidden", line === undefined);
      for (const [name, value] of [["x1", 0], ["x2", 100], ["y1", y(line ?? 0)], ["y2", y(line ?? 0)]]) {
        limit.setAttribute(name, value);
      }
    },
  };
}

const NONE = "–";
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const figures = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

/** 0.42, 4.2, 42, 4,200. */
export function number(value) {
  if (value === null) return NONE;
  return Math.abs(value) < 10 ? figures.format(value) : whole.format(value);
}

/** Milliseconds; microseconds where there are few, seconds and minutes where there are many. */
export function duration(ms) {
  if (ms === null) return NONE;
  if (ms > 0 && ms < 0.1) return `${number(ms * 1000)} µs`;
  if (ms < 1000) return `${number(ms)} ms`;
  return ms < 120_000 ? `${number(ms / 1000)} s` : `${number(ms / 60_000)} min`;
}

/** Rounded down: what is short of all never reads as all. */
export function percent(share) {
  return share === null ? NONE : `${Math.floor(share * 10_000 + 1e-6) / 100} %`;
}
