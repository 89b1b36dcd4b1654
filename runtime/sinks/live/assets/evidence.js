// Each class's evidence by place, over the newest frame: asked for only while somebody looks.

class Evidence {
  constructor(picture) {
    this.picture = picture;
    this.canvas = byId("evidence");
    this.context = this.canvas.getContext("2d");
    this.choice = byId("evidence-of");
    this.busy = false;
    this.seen = 0;          // id of the frame that the drawn evidence is of
    this.expected = 0;
    this.choice.addEventListener("change", () => {
      this.seen = 0;
      this.hide();
      this.fetch();
    });
    new ResizeObserver(() => this.place()).observe(picture.canvas);
  }

  describe(info) {
    byId("evidence-choice").hidden = !info.maps;
    const chosen = this.choice.value;
    this.choice.replaceChildren(...[["", "off"], ["answer", "for the decision"], ...info.classes.map((name, at) => [`class ${at}`, name])]
      .map(([value, text]) => new Option(text, value)));
    this.choice.value = chosen;
    if (this.choice.selectedIndex < 0) this.choice.value = "";
    this.classes = info.classes;
    this.seen = this.expected = 0;
    this.hide();
  }

  hide() {
    this.canvas.hidden = true;
    byId("evidence-words").textContent = "";
  }

  want(image) {
    this.expected = image.id;
    this.fetch();
  }

  async fetch() {
    if (this.busy || !this.choice.value || this.picture.held || !this.expected || this.seen === this.expected) return;
    this.busy = true;
    const value = this.choice.value;
    try {
      const label = value === "answer" ? "" : `?label=${encodeURIComponent(this.classes[Number(value.slice(6))])}`;
      const answer = await fetch(`api/map${label}`, { cache: "no-store" });
      if (answer.status === 200 && value === this.choice.value) this.draw(await answer.json());
    } catch (error) {
      // the stream notices a lost server and says so
    } finally {
      this.busy = false;
    }
  }

  // One pixel a place; the browser blends between them. Warm is for the class, cool against it.
  draw(found) {
    const { rows, columns, values, box } = found;
    this.seen = found.id;
    this.box = box;
    this.canvas.width = columns;
    this.canvas.height = rows;
    const image = this.context.createImageData(columns, rows);
    const most = Math.max(...values.map(Math.abs), 1e-12);
    values.forEach((value, at) => {
      image.data.set([...(value > 0 ? [255, 120, 0] : [30, 130, 255]), Math.round(175 * Math.abs(value) / most)], 4 * at);
    });
    this.context.putImageData(image, 0, 0);
    this.canvas.hidden = false;
    this.place();
    const words = `orange: evidence for ${found.label}; blue: against it`;  // a text that is set again is read out again
    if (byId("evidence-words").textContent !== words) byId("evidence-words").textContent = words;
  }

  place() {
    if (!this.box || this.canvas.hidden) return;
    const under = this.picture.canvas;
    const [left, top, width, height] = this.box;
    const style = this.canvas.style;
    style.left = `${under.offsetLeft + left * under.clientWidth}px`;
    style.top = `${under.offsetTop + top * under.clientHeight}px`;
    style.width = `${width * under.clientWidth}px`;
    style.height = `${height * under.clientHeight}px`;
  }
}
