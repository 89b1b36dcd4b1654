// What counts mean, and their colours: the same for the large picture and for the tiles of a wall.

const byId = (id) => document.getElementById(id);

class Scale {
  constructor(info) {
    this.info = info;       // what runs, from the server
    this.invalid = new Set(info.coding ? [0] : info.sensor.invalid || []);
    this.scene = null;      // [low, high] of the scene, in metres or counts, slowly following
    this.rgba = new Uint32Array(65536);
    this.filledFor = "";
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

  // 2nd and 98th percentile of the scene, following slowly so that the colours do not flicker.
  follow(counts) {
    const values = [];
    const step = Math.max(1, Math.floor(counts.length / 6000));
    for (let at = 0; at < counts.length; at += step) {
      if (!this.invalid.has(counts[at])) values.push(this.value(counts[at]));
    }
    if (values.length < 20) return;
    values.sort((a, b) => a - b);
    const low = values[Math.floor(values.length * 0.02)], high = values[Math.floor(values.length * 0.98)];
    const old = this.scene || [low, high];
    const near = Math.abs(low - old[0]) + Math.abs(high - old[1]) < 0.8 * (old[1] - old[0]);
    const share = near ? 0.2 : 1;  // another scene altogether: at once
    this.scene = [old[0] + share * (low - old[0]), old[1] + share * (high - old[1])];
  }

  // Makes `rgba` of every count, and returns the 256 colours; null where they are made already.
  fill(name, low, high) {
    const key = `${name} ${low.toPrecision(5)} ${high.toPrecision(5)}`;
    if (key === this.filledFor) return null;
    this.filledFor = key;
    const raw = TABLES[name] && Uint8Array.from(atob(TABLES[name]), (letter) => letter.charCodeAt(0));
    const pack = (r, g, b) => (255 << 24) | (b << 16) | (g << 8) | r;
    const table = Array.from({ length: 256 }, (_, i) => raw ? pack(raw[3 * i], raw[3 * i + 1], raw[3 * i + 2]) : pack(i, i, i));
    for (let count = 0; count < 65536; count++) {
      const place = (this.value(count) - low) / (high - low);
      this.rgba[count] = table[Math.round(255 * Math.min(Math.max(place, 0), 1))];
    }
    for (const count of this.invalid) this.rgba[count] = pack(...INVALID);
    return table;
  }

  // (low, high) that the colours span: of the scene, where it is known and asked for, else of the model's input.
  range(ofScene) {
    const [low, high] = ofScene && this.scene ? this.scene : this.info.range;
    return [low, high - low < 1e-6 ? low + 1e-6 : high];
  }

  // The counts in colours, on a canvas of their size.
  paint(canvas, context, counts, width, height) {
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      canvas.style.setProperty("--ratio", width / height);
    }
    const image = context.createImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    for (let at = 0; at < out.length; at++) out[at] = this.rgba[counts[at]];
    context.putImageData(image, 0, 0);
  }
}

// A frame from the server: its counts (little-endian, as every machine with a browser is), and the words of its headers.
async function fetchCounts(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (answer.status !== 200) return null;
  const bytes = await answer.arrayBuffer();
  const word = (name) => Number(answer.headers.get(`x-frame-${name}`));
  const size = Object.fromEntries(["id", "number", "width", "height", "step"].map((name) => [name, word(name)]));
  return { counts: new Uint16Array(bytes), size };
}
