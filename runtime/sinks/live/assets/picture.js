// The newest frame: raw counts from the server, colours and metres made here.

const byId = (id) => document.getElementById(id);

class Picture {
  constructor() {
    this.canvas = byId("picture");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.info = null;       // what runs, from the server
    this.counts = null;     // Uint16Array of the frame that is shown
    this.size = null;       // {id, number, width, height, step}
    this.scene = null;      // [low, high] of the scene, in metres or counts, slowly following
    this.point = null;      // probe, in shares of width and height
    this.held = this.busy = false;
    this.expected = 0;
    this.rgba = new Uint32Array(65536);
    this.drawnFor = "";
    this.listen();
  }

  listen() {
    const move = (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.point = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.probe();
    };
    this.canvas.addEventListener("pointermove", move);
    this.canvas.addEventListener("pointerdown", move);
    this.canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && document.activeElement !== this.canvas) { this.point = null; this.probe(); }
    });
    this.canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 1;
      const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (!this.size || (!by && event.key !== "Escape")) return;
      event.preventDefault();
      if (by) {
        const [x, y] = this.pixel() || [this.size.width >> 1, this.size.height >> 1];
        const clip = (value, end) => (Math.min(Math.max(value, 0), end - 1) + 0.5) / end;
        this.point = [clip(x + by[0], this.size.width), clip(y + by[1], this.size.height)];
      } else this.point = null;
      this.probe();
      byId("probe-said").textContent = this.point ? this.words().join(", ") : "";
    });
    for (const id of ["colours", "range"]) byId(id).addEventListener("change", () => this.draw());
    byId("pause").addEventListener("click", (event) => {
      this.held = !this.held;
      event.currentTarget.setAttribute("aria-pressed", this.held);
      if (!this.held) this.fetch();
    });
  }

  describe(info) {
    this.info = info;
    byId("colours").value = info.colours;
    this.invalid = new Set(info.coding ? [0] : info.sensor.invalid || []);
    this.scene = this.counts = this.size = null;  // numbers of frames begin again with a new run
    this.drawnFor = "";
    this.probe();
  }

  // Count to metres (depth), intensity (NIR) or degrees Celsius (thermal); the same arithmetic as SensorSpec.decode.
  value(count) {
    const { sensor, coding } = this.info;
    if (coding) return coding.low + (count - 1) * coding.step;  // floating-point numbers, coded by the server
    if (sensor.encoding === "disparity") {
      return sensor.baseline_m * sensor.focal_px / (count * sensor.unit_px + (sensor.offset_px || 0));
    }
    if (sensor.kind === "thermal") return count * sensor.unit_k + (sensor.offset_k || 0) - 273.15;
    if (sensor.encoding === "sunrgbd") count = ((count >> 3) | (count << 13)) & 0xffff;
    return count * (sensor.unit_m || 1);
  }

  text(value) {
    const { kind, unit_m: unit } = this.info.sensor;
    if (kind === "thermal") return `${value.toFixed(2)} \u00b0C`;
    if (kind === "depth") return `${value.toFixed(unit < 0.005 || this.info.coding ? 3 : 2)} m`;  // no finer than the sensor
    return this.info.coding ? value.toPrecision(4) : value.toFixed(0);
  }

  // Ask for a frame when the server has a newer one: never more than one on its way.
  want(image) {
    this.expected = image.id;
    this.fetch();
  }

  async fetch() {
    if (this.busy || this.held || !this.info || !this.expected || (this.size && this.size.id === this.expected)) return;
    this.busy = true;
    try {
      const pixels = this.canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2);
      const width = pixels > 420 ? 640 : 320;
      const answer = await fetch(`api/frame?width=${width}`, { cache: "no-store" });
      if (answer.status !== 200) return;
      const bytes = await answer.arrayBuffer();
      const word = (name) => Number(answer.headers.get(`x-frame-${name}`));
      this.size = Object.fromEntries(["id", "number", "width", "height", "step"].map((name) => [name, word(name)]));
      this.counts = new Uint16Array(bytes);  // little-endian, as every machine with a browser is
      this.draw();
    } catch (error) {
      // the stream notices a lost server and says so
    } finally {
      this.busy = false;
    }
  }

  // 2nd and 98th percentile of the scene, following slowly so that the colours do not flicker.
  follow() {
    const values = [];
    const step = Math.max(1, Math.floor(this.counts.length / 6000));
    for (let at = 0; at < this.counts.length; at += step) {
      if (!this.invalid.has(this.counts[at])) values.push(this.value(this.counts[at]));
    }
    if (values.length < 20) return;
    values.sort((a, b) => a - b);
    const low = values[Math.floor(values.length * 0.02)], high = values[Math.floor(values.length * 0.98)];
    const old = this.scene || [low, high];
    const near = Math.abs(low - old[0]) + Math.abs(high - old[1]) < 0.8 * (old[1] - old[0]);
    const share = near ? 0.2 : 1;  // another scene altogether: at once
    this.scene = [old[0] + share * (low - old[0]), old[1] + share * (high - old[1])];
  }

  colours(low, high) {
    const name = byId("colours").value;
    const key = `${name} ${low.toPrecision(5)} ${high.toPrecision(5)}`;
    if (key === this.drawnFor) return;
    this.drawnFor = key;
    const raw = TABLES[name] && Uint8Array.from(atob(TABLES[name]), (letter) => letter.charCodeAt(0));
    const pack = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r;
    const table = Array.from({ length: 256 }, (_, i) => raw ? pack(raw[3 * i], raw[3 * i + 1], raw[3 * i + 2]) : pack(i, i, i));
    for (let count = 0; count < 65536; count++) {
      const place = (this.value(count) - low) / (high - low);
      this.rgba[count] = table[Math.round(255 * Math.min(Math.max(place, 0), 1))];
    }
    for (const count of this.invalid) this.rgba[count] = pack(...INVALID);
    const scale = byId("scale").getContext("2d");
    const line = scale.createImageData(256, 1);
    new Uint32Array(line.data.buffer).set(table);
    scale.putImageData(line, 0, 0);
    const units = { depth: (value) => `${value.toFixed(2)} m`, thermal: (value) => `${value.toFixed(1)} \u00b0C` };
    const short = units[this.info.sensor.kind] || ((value) => this.info.coding ? value.toPrecision(4) : value.toFixed(0));
    byId("low").textContent = short(low);
    byId("high").textContent = short(high);
  }

  draw() {
    if (!this.counts) return;
    this.follow();
    let [low, high] = byId("range").value === "scene" && this.scene ? this.scene : this.info.range;
    if (high - low < 1e-6) high = low + 1e-6;
    this.colours(low, high);
    const { width, height, step } = this.size;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.canvas.style.setProperty("--ratio", width / height);
    }
    byId("shape").textContent = step > 1 ? `every ${step}${step === 2 ? "nd" : step === 3 ? "rd" : "th"} pixel` : "";
    const image = this.context.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    for (let at = 0; at < out.length; at++) out[at] = this.rgba[this.counts[at]];
    this.context.putImageData(image, 0, 0);
    byId("empty").hidden = true;
    this.probe();
  }

  pixel() {
    if (!this.point || !this.size) return null;
    const at = (share, end) => Math.min(Math.max(Math.floor(share * end), 0), end - 1);
    return [at(this.point[0], this.size.width), at(this.point[1], this.size.height)];
  }

  // What the sensor wrote under the probe: the value, and where that is in the full frame.
  words() {
    const [x, y] = this.pixel();
    const count = this.counts[y * this.size.width + x];
    const value = this.invalid.has(count) ? "no measurement" : this.text(this.value(count));
    return [value, `column ${x * this.size.step}, row ${y * this.size.step}`];
  }

  probe() {
    const probe = byId("probe");
    probe.hidden = !this.point || !this.counts;
    if (probe.hidden) return;
    const [x, y] = this.point;
    const canvas = this.canvas;
    probe.style.transform = `translate(${canvas.offsetLeft + x * canvas.clientWidth}px, ${canvas.offsetTop + y * canvas.clientHeight}px)`;
    probe.classList.toggle("left", x > 0.6);
    const [value, place] = this.words();
    const small = document.createElement("small");
    small.textContent = place.replace("column ", "").replace("row ", "");
    byId("probe-text").replaceChildren(value, small);
  }
}
