// The newest frame: raw counts from the server, colours and metres made here.

class Picture {
  constructor() {
    this.canvas = byId("picture");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.scale = null;      // of what runs
    this.counts = null;     // Uint16Array of the frame that is shown
    this.size = null;       // {id, number, width, height, step}
    this.point = null;      // probe, in shares of width and height
    this.held = this.busy = false;
    this.expected = 0;
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
    this.scale = new Scale(info);
    byId("colours").value = info.colours;
    this.counts = this.size = null;  // numbers of frames begin again with a new run
    this.probe();
  }

  // Ask for a frame when the server has a newer one: never more than one on its way.
  want(image) {
    this.expected = image.id;
    this.fetch();
  }

  async fetch() {
    if (this.busy || this.held || !this.scale || !this.expected || (this.size && this.size.id === this.expected)) return;
    this.busy = true;
    try {
      const pixels = this.canvas.clientWidth * Math.min(window.devicePixelRatio || 1, 2);
      const width = pixels > 420 ? 640 : 320;
      const found = await fetchCounts(`api/frame?width=${width}`);
      if (!found) return;
      [this.counts, this.size] = [found.counts, found.size];
      this.draw();
    } catch (error) {
      // the stream notices a lost server and says so
    } finally {
      this.busy = false;
    }
  }

  legend(table, low, high) {
    const scale = byId("scale").getContext("2d");
    const line = scale.createImageData(256, 1);
    new Uint32Array(line.data.buffer).set(table);
    scale.putImageData(line, 0, 0);
    const { sensor, coding } = this.scale.info;
    const units = { depth: (value) => `${value.toFixed(2)} m`, thermal: (value) => `${value.toFixed(1)} \u00b0C` };
    const short = units[sensor.kind] || ((value) => coding ? value.toPrecision(4) : value.toFixed(0));
    byId("low").textContent = short(low);
    byId("high").textContent = short(high);
  }

  draw() {
    if (!this.counts) return;
    this.scale.follow(this.counts);
    const [low, high] = this.scale.range(byId("range").value === "scene");
    const table = this.scale.fill(byId("colours").value, low, high);
    if (table) this.legend(table, low, high);
    const { width, height, step } = this.size;
    byId("shape").textContent = step > 1 ? `every ${step}${step === 2 ? "nd" : step === 3 ? "rd" : "th"} pixel` : "";
    this.scale.paint(this.canvas, this.context, this.counts, width, height);
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
    const value = this.scale.invalid.has(count) ? "no measurement" : this.scale.text(this.scale.value(count));
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
