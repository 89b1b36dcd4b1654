// What the server says of one camera, told in words. Texts from outside are only ever set as text.

const picture = new Picture();
const evidence = new Evidence(picture);
const timeline = new Timeline();
let info = null;

function node(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const percent = (share) => share > 0 && share < 0.005 ? "< 1 %" : `${(100 * share).toFixed(share > 0.995 && share < 1 ? 1 : 0)} %`;
const plain = (name) => String(name).replaceAll("_", " ");

function short(number) {
  if (typeof number !== "number") return number === null || number === undefined ? "" : String(number);
  return Math.abs(number) >= 100 || Number.isInteger(number) ? number.toFixed(0) : String(Number(number.toPrecision(3)));
}

function figure(id, value, unit) {
  const parts = [value === null || value === undefined ? "\u2013" : value];
  if (unit && parts[0] !== "\u2013") parts.push(" ", node("small", unit));
  byId(id).replaceChildren(...parts);
}

function thousands(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

// What an earlier run said is not this one's.
function forget() {
  byId("label").textContent = "\u2013";
  byId("label").classList.remove("unknown");
  for (const id of ["probability", "flags"]) byId(id).textContent = "";
  byId("top").replaceChildren();
  for (const [id, text] of [["health", "nothing reported yet"], ["events", "none yet"]]) {
    delete byId(id).dataset.key;
    byId(id).replaceChildren(node("li", text, "quiet"));
  }
  byId("empty").hidden = false;
}

function showInfo(found) {
  const other = info === null || info.started !== found.started || info.source !== found.source;
  if (info !== null && other) forget();
  info = found;
  const sensor = info.sensor;
  byId("source").textContent = info.camera ? `${info.camera}: ${info.source}` : info.source;
  byId("wall").hidden = !info.camera;
  byId("source").title = info.source;
  const [low, high] = info.range;
  const range = { depth: `${low} to ${high} m`, thermal: `${low} to ${high} \u00b0C` }[sensor.kind] || `counts ${low} to ${high}`;
  const started = new Date(info.started * 1000).toLocaleString();
  byId("about").textContent = `${info.engine} \u00b7 ${sensor.kind}, ${range} \u00b7 ${info.classes.length} classes \u00b7 since ${started}`;
  if (other) {
    picture.describe(info);
    evidence.describe(info);
    timeline.clear(info.classes);
  }
  fetchPast();
}

// The stream begins with the newest minute, so that it soon arrives on a slow line, too.
async function fetchPast() {
  const of = info;
  try {
    const answer = await fetch("api/timeline", { cache: "no-store" });
    if (answer.status !== 200) return;
    const past = await answer.json();
    if (of === info) timeline.before(past.rows, past.now);
  } catch (error) {
    // the stream notices a lost server and says so
  }
}

function showState(update) {
  const name = update.state.state;
  showPill(name);
  const detail = update.state.detail ? `: ${update.state.detail}` : "";
  let text = "";
  if (name === "lost" || name === "stalled") text = `The source is ${name}${detail}`;
  else if (name === "live" && update.silent > 5) text = "No frame arrives";  // a number here would be read out again and again
  else if (update.error && update.latest && update.error.frame > update.latest.frame || (update.error && !update.latest)) {
    text = `The newest frame cannot be used: ${update.error.error}`;
  }
  const notice = byId("notice");
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
  const first = info && info.camera ? `${info.camera}: ` : "";
  document.title = `${first}${update.latest ? update.latest.label : name} \u00b7 tgkt-edge`;
}

function showDecision(latest) {
  if (!latest) return;
  const label = byId("label");
  label.textContent = latest.label;
  label.classList.toggle("unknown", info !== null && !info.classes.includes(latest.label));
  byId("probability").textContent = typeof latest.probability === "number" ? percent(latest.probability) : "";
  const list = byId("top");
  const top = (latest.top || []).slice(0, 6);
  byId("alone").hidden = !top.length || top[0].probability === latest.probability;  // else smoothed over several
  while (list.children.length > top.length) list.lastChild.remove();
  top.forEach((entry, at) => {
    let line = list.children[at];
    if (!line) {
      line = node("li");
      const bar = node("i");
      bar.append(node("b"));
      line.append(node("span"), node("span"), bar);
      list.append(line);
    }
    line.children[0].textContent = entry.label;
    line.children[1].textContent = percent(entry.probability);
    const fill = line.children[2].firstChild;
    fill.style.width = `${100 * entry.probability}%`;
    fill.style.setProperty("--swatch", timeline.swatch(entry.label));
  });
  const flags = (latest.health || []).map(plain);
  byId("flags").textContent = flags.length ? `This frame: ${flags.join(", ")}` : "";
}

function showFigures(update) {
  const ms = update.ms, total = ms.total, infer = ms.inference;
  const time = (value) => value === undefined ? null : value >= 100 ? value.toFixed(0) : value.toFixed(1);
  figure("fps", update.fps ? update.fps.toFixed(1) : update.latest ? "0" : null);
  figure("p50", total ? time(total.p50) : null, "ms");
  figure("p90", total ? time(total.p90) : null, "ms");
  figure("inference", infer ? time(infer.p50) : null, "ms");
  figure("frames", thousands(update.counts.frames));
  figure("dropped", thousands(update.counts.dropped));
  figure("errors", thousands(update.counts.errors));
  if (!update.counts.frames) figure("silent", null);
  else figure("silent", update.silent < 1 ? "now" : update.silent < 120 ? update.silent.toFixed(0) : (update.silent / 60).toFixed(0),
    update.silent < 1 ? "" : update.silent < 120 ? "s ago" : "min ago");
}

// Lists are only touched when they change, so that a reader's place in them stays.
function fill(id, key, lines) {
  const list = byId(id);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...lines());
}

function showHealth(update) {
  const flags = [...update.health].sort((a, b) => Number(Boolean(b.active)) - Number(Boolean(a.active)));
  if (!flags.length) return;
  fill("health", JSON.stringify(flags), () => flags.map((flag) => {
    const line = node("li", undefined, flag.active ? "raised" : "");
    const limit = flag.limit === null || flag.limit === undefined ? "" : ` (limit ${short(flag.limit)})`;
    line.append(node("b", plain(flag.flag)), node("span", `${short(flag.value)}${limit}`, "quiet"), node("em", flag.active ? "\u26a0 raised" : "\u2713 fine"));
    return line;
  }));
}

function showEvents(update) {
  if (!update.events.length) return;
  const events = [...update.events].reverse();
  fill("events", JSON.stringify([events.length, events[0]]), () => events.map((event) => {
    const line = node("li");
    const time = node("time", typeof event.time === "number" ? new Date(event.time * 1000).toLocaleTimeString() : "");
    let text = event.event === "state" ? `${event.state}${event.detail ? `: ${event.detail}` : ""}` : "";
    if (event.event === "health") {
      const value = short(event.value);
      text = `${plain(event.flag)} ${event.active ? "raised" : "fine again"}${value ? ` (${value})` : ""}`;
    }
    if (event.event === "update") text = `bundle ${event.state}${event.detail ? `: ${event.detail}` : ""}`;
    line.append(time, node("span", text || String(event.event)));
    return line;
  }));
}

follow(showInfo, (update) => {
  picture.want(update.image);
  evidence.want(update.image);
  showState(update);
  showDecision(update.latest);
  showFigures(update);
  showHealth(update);
  showEvents(update);
  timeline.add(update.timeline, update.now);
});
