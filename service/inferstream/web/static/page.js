// The live page: a stream of frames, one a second, shown in place. It only reads.

import { bar, duration, each, el, number, percent, say, sparkline } from "./parts.js";

const SPAN_MS = 180_000;
const RETRY_MS = 10_000;
const KINDS = ["scored", "fallback", "expired", "dead_lettered"];
const SPLIT = ["fetch", "queue", "infer", "emit"];
const STAGES = {
  consume: (p) => [`${number(p.taken_per_second)}/s`, `${number(p.behind)} behind, ${duration(1000 * p.lag_seconds)} lag`],
  decode: (p) => [duration(p.stages_ms.decode), "an event"],
  batch: (p) => [number(p.queued), "queued"],
  infer: (p) => [number(p.in_flight), `in flight, ${number(p.batch_rows)} rows each`],
  decide: (p) => [duration(p.stages_ms.decide), "an event"],
  emit: (p) => [number(p.unsettled), "unsettled in all"],
  commit: (p) => [`${number(p.committed_per_second)}/s`, "committed"],
};
const byId = (id) => document.getElementById(id);
const name = (item) => item.name;
let history = [];

function sloClass(pipeline, { name: own, slo_ms: slo }) {
  const [inTime, ever, p50, p99, rate] = ["strong", "dd", "dd", "dd", "dd"].map((tag) => el(tag));
  const small = el("small", "", {}, " in time");
  const span = el("span", "span");
  const scale = el("div", "scale", { "aria-hidden": "true" }, span, el("span", "slo"));
  const line = sparkline(`p99 of class ${own} over the last three minutes, and its SLO`, SPAN_MS);
  const pair = (term, value) => el("div", "", {}, el("dt", "", {}, term), value);
  const figures = el("dl", "figures", {}, pair("p50", p50), pair("p99", p99), pair("rate", rate), pair("since start", ever));
  const head = el("div", "head", {}, el("h3", "", {}, `Class ${own}`), el("span", "note", {}, `SLO ${duration(slo)}`));
  const node = el("article", "card class", {}, head, el("p", "big", {}, inTime, small), scale, figures, line.node);
  const left = (ms) => Math.min(100, (50 * (ms ?? 0)) / slo);
  return {
    node,
    show(figure) {
      say(inTime, percent(figure.in_time));
      say(ever, percent(figure.in_time_since_start));
      say(p50, duration(figure.p50_ms));
      say(p99, duration(figure.p99_ms));
      say(rate, `${number(figure.per_second)}/s`);
      const isOver = (figure.p99_ms ?? 0) > slo;
      p99.classList.toggle("bad", isOver);
      scale.classList.toggle("over", isOver);
      span.hidden = figure.p99_ms === null;
      span.style.left = `${left(figure.p50_ms)}%`;
      span.style.width = `${left(figure.p99_ms) - left(figure.p50_ms)}%`;
      line.show(points((point) => point.p99_ms[pipeline]?.[own]), now(), slo);
    },
  };
}

function throughput(pipeline) {
  const value = el("strong");
  const line = sparkline(`outcomes a second of ${pipeline} over the last three minutes`, SPAN_MS);
  const node = el("article", "card", {}, el("h3", "", {}, "Throughput"));
  const owned = el("p", "note");
  node.append(el("p", "big", {}, value, el("small", "", {}, " outcomes a second")), owned, line.node);
  return {
    node,
    show(figure) {
      say(value, number(figure.per_second));
      const held = figure.quarantined ? `, ${figure.quarantined} in quarantine` : "";
      say(owned, `from ${figure.partitions} partition${figure.partitions === 1 ? "" : "s"}${held}`);
      line.show(points((point) => point.per_second[pipeline]), now());
    },
  };
}

function stage(key) {
  const [value, what, time] = ["value", "what", "time"].map((classes) => el("span", classes));
  const node = el("li", "", { "data-stage": key }, el("strong", "", {}, key), value, what, time);
  return {
    node,
    show(figure) {
      const [first, second] = STAGES[key](figure);
      say(value, first);
      say(what, second);
      say(time, second === "an event" ? "" : `${duration(figure.stages_ms[key])} an event`);
    },
  };
}

function path() {
  const stages = Object.keys(STAGES).map(stage);
  const list = el("ol", "path", {}, ...stages.map((one) => one.node));
  return {
    node: el("article", "card", {}, el("h3", "", {}, "Data path"), list),
    show(figure) {
      list.classList.toggle("flows", figure.per_second > 0);
      stages.forEach((one) => one.show(figure));
    },
  };
}

function kind({ name: own }) {
  const [rate, since, causes] = ["rate", "since", "causes"].map((classes) => el("span", classes));
  return {
    node: el("li", own, {}, el("span", "dot", {}, own.replace("_", "-")), rate, since, causes),
    show(figure) {
      say(rate, `${number(figure.per_second)}/s`);
      say(since, `${number(figure.since_start)} in all`);
      say(causes, figure.causes.map(([cause, each]) => `${cause.replaceAll("_", " ")} ${number(each)}/s`).join(", "));
      causes.hidden = !figure.causes.length;
    },
  };
}

function outcomes() {
  const stack = bar("stack", KINDS);
  const list = el("ul", "kinds");
  return {
    node: el("article", "card", {}, el("h3", "", {}, "Outcomes"), stack.node, list),
    show(figure) {
      stack.show(figure.outcomes.map((one) => one.per_second ?? 0));
      each(list, figure.outcomes, name, kind);
    },
  };
}

function endpoint({ name: own }) {
  const state = el("span", "state");
  const node = el("li", "", {}, el("span", "", {}, own), state);
  return {
    node,
    show(figure) {
      node.classList.toggle("ready", figure.is_ready);
      say(state, figure.is_ready ? "takes calls" : "away");
    },
  };
}

function endpoints() {
  const list = el("ul", "endpoints");
  const none = el("p", "none", {}, "None known yet.");
  return {
    node: el("article", "card", {}, el("h3", "", {}, "Model endpoints"), none, list),
    show(figure) {
      none.hidden = figure.endpoints.length > 0;
      each(list, figure.endpoints, name, endpoint);
    },
  };
}

function pipeline({ name: own }) {
  const rate = throughput(own);
  const classes = el("div", "classes");
  const [flow, kinds, ends] = [path(), outcomes(), endpoints()];
  const top = el("div", "row", {}, rate.node, classes);
  const id = `pipeline-${own}`;
  const title = el("h2", "", { id }, `Pipeline ${own}`);
  const node = el("section", "pipeline", { "aria-labelledby": id }, title, top, flow.node);
  node.append(el("div", "row uneven", {}, kinds.node, ends.node));
  return {
    node,
    show(figure) {
      each(classes, figure.classes, name, (one) => sloClass(own, one));
      rate.show(figure);
      [flow, kinds, ends].forEach((part) => part.show(figure));
    },
  };
}

function missed(event) {
  const cell = (text, classes) => el("td", classes, {}, text);
  const times = SPLIT.map((part) => Math.max(0, event[`${part}_us`] / 1000));
  const split = bar("split", SPLIT);
  split.show(times);
  const numbers = el("span", "numbers", {}, SPLIT.map((part, place) => `${part} ${number(times[place])}`).join(" · "));
  const when = el("td");
  const late = event.late_ms > 0 ? cell(`${duration(event.late_ms)} late`, "bad") : cell("in time");
  const outcome = el("td", "", {}, el("span", `dot ${event.outcome}`, {}, event.outcome.replace("_", "-")));
  const where = `${event.partition}@${event.offset}`;
  const whose = `${event.pipeline}, ${event.slo_class}`;
  const cause = event.cause.replaceAll("_", " ") || "–";
  const last = el("td", "wide", {}, split.node, numbers);
  return {
    node: el("tr", "", {}, when, cell(where), cell(whose), outcome, cell(cause), late, last),
    show: () => say(when, `${duration(Math.max(0, now() - event.at_ms))} ago`),
  };
}

const now = () => history.at(-1)?.at_ms ?? Date.now();
const points = (of) => history.map((point) => [point.at_ms, of(point) ?? null]);

function remember(point) {
  history.push(point);
  history = history.filter((one) => one.at_ms > point.at_ms - SPAN_MS);
}

function show(frame) {
  remember({
    at_ms: frame.at_ms,
    per_second: Object.fromEntries(frame.pipelines.map((one) => [one.name, one.per_second])),
    p99_ms: Object.fromEntries(
      frame.pipelines.map((one) => [one.name, Object.fromEntries(one.classes.map((each) => [each.name, each.p99_ms]))]),
    ),
  });
  state(frame.not_ready ? "wait" : "live", frame.not_ready ?? "live");
  const workers = frame.workers === null ? "" : `${frame.workers} worker${frame.workers === 1 ? "" : "s"} · `;
  say(byId("about"), `${workers}event loop ${duration(frame.loop_lag_ms)} late at most`);
  say(byId("footer"), `Figures of the last ${Math.round(frame.window_seconds)} s, each second · inferstream ${frame.version}`);
  each(byId("pipelines"), frame.pipelines, name, pipeline);
  byId("missed").hidden = false;
  byId("missed-none").hidden = frame.missed.length > 0;
  document.querySelector("table").hidden = !frame.missed.length;
  const key = (one) => [one.pipeline, one.partition, one.offset, one.at_ms].join("/");
  each(byId("misses"), frame.missed, key, missed);
}

function state(kindOf, text) {
  byId("status").dataset.state = kindOf;
  say(byId("status"), text);
}

let stream = null;
let retry = 0;

function close() {
  clearTimeout(retry);
  stream?.close();
  stream = null;
}

function open() {
  close();
  stream = new EventSource("live");
  stream.addEventListener("history", (event) => (history = JSON.parse(event.data)));
  stream.addEventListener("frame", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    state("bad", "no connection");
    // Refused for good, as when too many look: the browser does not try again by itself.
    if (stream?.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
  });
}

const pause = byId("pause");
const isPaused = () => pause.getAttribute("aria-pressed") === "true";

/** Nothing is asked of the service while nobody looks. */
function turn() {
  if (isPaused() || document.hidden) close();
  else if (stream === null) open();
  if (isPaused()) state("wait", "paused");
}

pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(!isPaused()));
  say(pause, isPaused() ? "Resume" : "Pause");
  turn();
});
document.addEventListener("visibilitychange", turn);
turn();
