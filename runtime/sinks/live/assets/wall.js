// All cameras of a run, a tile each; a tile leads to the camera's own page. Texts from outside are only ever set as text.

const tiles = new Map();
let started = null;

class Tile {
  constructor(info) {
    this.name = info.camera;
    this.scale = new Scale(info);
    this.colours = info.colours;
    this.shown = this.expected = 0;
    this.busy = false;
    this.node = byId("tile").content.firstElementChild.cloneNode(true);
    this.node.href = `camera/${this.name}/`;
    this.node.title = info.source;
    this.part("title").textContent = this.name;
    this.canvas = this.node.querySelector("canvas");
    this.context = this.canvas.getContext("2d", { alpha: false });
    byId("wall").append(this.node);
  }

  part(kind) {
    return this.node.querySelector(`.${kind}`);
  }

  show(update) {
    const { latest, counts } = update;
    const name = update.state.state === "live" && update.silent > 5 ? "silent" : update.state.state;
    this.part("pill").dataset.state = name === "silent" ? "stalled" : name;
    this.part("state").textContent = name;
    this.part("label").textContent = latest ? latest.label : "\u2013";
    this.part("number").textContent = latest ? `${Math.round(100 * latest.probability)} %` : "";
    const raised = update.health.filter((flag) => flag.active).map((flag) => String(flag.flag).replaceAll("_", " "));
    const bad = update.error && (!latest || update.error.frame > latest.frame) ? [update.error.error] : [];
    const lost = name === "lost" || name === "stalled" ? [update.state.detail] : [];
    const words = [...lost, ...bad, ...raised];
    this.node.dataset.raised = words.length ? "yes" : "no";
    this.part("words").textContent = words.length ? words.join(" \u00b7 ") : `${update.fps.toFixed(1)} frames / s \u00b7 ${counts.frames} frames`;
    this.expected = update.image.id;
    this.fetch();
  }

  // Never more than one frame on its way: a camera that is fast does not starve the others' tiles.
  async fetch() {
    if (this.busy || !this.expected || this.shown === this.expected) return;
    this.busy = true;
    try {
      const found = await fetchCounts(`camera/${this.name}/api/frame?width=320`);
      if (!found) return;
      this.shown = found.size.id;
      this.scale.follow(found.counts);
      this.scale.fill(this.colours, ...this.scale.range(true));
      this.scale.paint(this.canvas, this.context, found.counts, found.size.width, found.size.height);
    } catch (error) {
      // the stream notices a lost server and says so
    } finally {
      this.busy = false;
    }
  }
}

function showInfo(info) {
  byId("source").textContent = `${info.cameras.length} cameras on ${info.device}`;
  byId("about").textContent = `${info.engine} \u00b7 ${info.classes.length} classes \u00b7 since ${new Date(info.started * 1000).toLocaleString()}`;
  if (started === info.run) return;
  started = info.run;
  tiles.clear();
  byId("wall").replaceChildren();
  for (const camera of info.cameras) tiles.set(camera.camera, new Tile(camera));
}

function showAll(update) {
  for (const [name, one] of Object.entries(update.cameras)) tiles.get(name)?.show(one);
  showPill(update.state);
  byId("notice").hidden = true;
  const well = Object.values(update.cameras).filter((one) => one.state.state === "live").length;
  document.title = `${well} of ${tiles.size} live \u00b7 tgkt-edge`;
}

follow(showInfo, showAll);
