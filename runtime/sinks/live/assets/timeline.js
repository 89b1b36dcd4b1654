// Decisions over time: a lane a class, a column a second or more.

const SWATCHES = ["#35b7a5", "#8f7bea", "#e8894a", "#4f9de0", "#d9629f", "#7fae3c", "#c9a227", "#8a95a1"];
const LANES = 8;

class Timeline {
  constructor() {
    this.canvas = byId("timeline");
    this.rows = new Map();  // second -> [second, label, probability, decisions, errors]
    this.classes = [];
    this.span = 60;
    this.now = 0;
    for (const button of document.querySelectorAll("[data-span]")) {
      button.addEventListener("click", () => {
        for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", other === button);
        this.span = Number(button.dataset.span);
        this.draw();
      });
    }
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { byId("moment").textContent = "\u00a0"; });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.draw());
  }

  clear(classes) {
    this.rows.clear();
    this.classes = classes;
  }

  swatch(label) {
    const at = this.classes.indexOf(label);
    return at < 0 ? SWATCHES[7] : SWATCHES[at % 7];
  }

  add(rows, now) {
    for (const row of rows) this.rows.set(row[0], row);
    for (const second of this.rows.keys()) {
      if (second >= now - 3600) break;  // a Map keeps the order of insertion
      this.rows.delete(second);
    }
    this.now = now;
    this.draw();
  }

  // Rows of the past as of second `now`. Those that were over by then are complete, whatever the stream told of them.
  before(rows, now) {
    for (const row of rows) if (row[0] < Math.floor(now) || !this.rows.has(row[0])) this.rows.set(row[0], row);
    this.rows = new Map([...this.rows].sort((a, b) => a[0] - b[0]));
    this.draw();
  }

  // One entry a column of `width` seconds: label with the most decisions, its mean probability.
  columns(width) {
    const columns = new Map();
    for (const [second, label, probability, decisions, errors] of this.rows.values()) {
      if (second < this.now - this.span - width) continue;
      const key = Math.floor(second / width);
      const column = columns.get(key) || { at: key * width, labels: new Map(), errors: 0, decisions: 0 };
      if (label !== null) {
        const old = column.labels.get(label) || [0, 0];
        column.labels.set(label, [old[0] + decisions, old[1] + decisions * probability]);
      }
      column.errors += errors;
      column.decisions += decisions;
      columns.set(key, column);
    }
    return [...columns.values()].map((column) => {
      const best = [...column.labels].sort((a, b) => b[1][0] - a[1][0])[0];
      return { ...column, label: best ? best[0] : null, probability: best ? best[1][1] / best[1][0] : 0 };
    });
  }

  lanes(columns) {
    const count = new Map();
    for (const column of columns) if (column.label !== null) count.set(column.label, (count.get(column.label) || 0) + 1);
    const labels = [...count].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    const place = (label) => { const at = this.classes.indexOf(label); return at < 0 ? 1e6 : at; };
    const shown = labels.slice(0, labels.length > LANES ? LANES - 1 : LANES).sort((a, b) => place(a) - place(b));
    return { names: labels.length > LANES ? [...shown, "other"] : shown, count };
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    if (!box.width) return;
    const width = this.span / 60;
    const columns = this.columns(width);
    const { names, count } = this.lanes(columns);
    const lane = 24, axis = 22;
    const height = Math.max(names.length, 2) * lane + axis;
    if (this.canvas.style.height !== `${height}px`) this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    pen.font = "13px system-ui, sans-serif";
    const gutter = Math.min(box.width * 0.3, 14 + Math.max(60, ...names.map((name) => pen.measureText(name).width)));
    this.plot = { left: gutter, right: box.width, columns, width };
    pen.textBaseline = "middle";
    names.forEach((name, at) => {
      const y = at * lane;
      pen.fillStyle = colour("--track");
      pen.fillRect(gutter, y + 3, box.width - gutter, lane - 6);
      pen.fillStyle = colour("--ink");
      pen.fillText(this.fit(pen, name, gutter - 10), 0, y + lane / 2);
    });
    const x = (second) => gutter + (box.width - gutter) * (1 - (this.now - second) / this.span);
    for (const column of columns) {
      const from = Math.max(x(column.at), gutter), to = Math.min(x(column.at + width), box.width);
      if (to <= from) continue;
      if (column.label !== null) {
        const at = names.indexOf(column.label) < 0 ? names.length - 1 : names.indexOf(column.label);
        pen.globalAlpha = 0.35 + 0.65 * column.probability;
        pen.fillStyle = this.swatch(column.label);
        pen.fillRect(from, at * lane + 3, Math.max(to - from - (to - from > 4 ? 1 : 0), 1), lane - 6);
        pen.globalAlpha = 1;
      }
      if (column.errors) {
        pen.fillStyle = colour("--bad");
        pen.fillRect(from, height - axis, Math.max(to - from - 1, 1), 4);
      }
    }
    this.axis(pen, gutter, box.width, height, colour("--quiet"));
    this.describe(count);
  }

  axis(pen, left, right, height, colour) {
    pen.fillStyle = colour;
    pen.textBaseline = "bottom";
    const unit = this.span > 60 ? "min" : "s";
    for (let at = 0; at <= 4; at++) {
      const ago = this.span * (1 - at / 4) / (this.span > 60 ? 60 : 1);
      const text = at === 4 ? "now" : `${ago} ${unit} ago`;
      if (right - left < 480 && at % 2) continue;
      pen.textAlign = at === 0 ? "left" : at === 4 ? "right" : "center";
      pen.fillText(text, left + (right - left) * at / 4, height);
    }
    pen.textAlign = "left";
  }

  fit(pen, text, width) {
    if (pen.measureText(text).width <= width) return text;
    while (text.length > 1 && pen.measureText(`${text}\u2026`).width > width) text = text.slice(0, -1);
    return `${text}\u2026`;
  }

  // The same for those who do not see it; not more often than it can be read out.
  describe(count) {
    if (this.described && Date.now() - this.described < 5000) return;
    const total = [...count.values()].reduce((sum, n) => sum + n, 0);
    this.described = total ? Date.now() : 0;
    const shares = [...count].sort((a, b) => b[1] - a[1]).slice(0, 5)
      .map(([label, n]) => `${label} ${Math.round(100 * n / total)} %`);
    const span = { 60: "Last minute", 600: "Last 10 minutes", 3600: "Last hour" }[this.span];
    this.canvas.setAttribute("aria-label", total ? `${span}: ${shares.join(", ")}` : "No decision yet");
  }

  point(event) {
    if (!this.plot) return;
    const { left, right, columns, width } = this.plot;
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const second = this.now - this.span * (1 - (x - left) / (right - left));
    const column = columns.find((one) => second >= one.at && second < one.at + width);
    const ago = Math.max(0, Math.round(this.now - second));
    const when = ago < 90 ? `${ago} s ago` : `${Math.round(ago / 60)} min ago`;
    let text = "\u00a0";
    if (x >= left && column) {
      const bad = column.errors ? `, ${column.errors} unusable` : "";
      const what = column.label === null ? "no decision" : `${column.label} ${(100 * column.probability).toFixed(0)} %`;
      text = `${when}: ${what} (${column.decisions} decisions${bad})`;
    }
    byId("moment").textContent = text;
  }
}
