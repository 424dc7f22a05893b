// Charts over the hours of the episode: stacked areas and stepped lines with a cursor that can be dragged.

const HEIGHT = 168, LEFT = 46, RIGHT = 8, TOP = 8, BOTTOM = 22, HOURS_PER_DAY = 24;

function niceTicks(low, high, wanted = 4) {
  const rough = Math.max(high - low, 1e-9) / wanted, unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(k => k * unit).find(s => s >= rough);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) ticks.push(Math.abs(v) < step / 1e6 ? 0 : v);
  return ticks;
}

function tickText(value, step) {
  const digits = Math.max(0, Math.min(3, -Math.floor(Math.log10(step) + 1e-9)));
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "\u2212");
}

class Chart {
  // `spec`: lines [{values, colour, width, dash, opacity}], areas [{values, colour}] to be stacked, low and high of the
  // axis (else what the values need), days [[step, text]] below it; `seek` is told the step that is pointed at.
  constructor(box, spec, seek) {
    const { lines, areas = [], steps } = spec;
    this.lines = lines;
    this.width = Math.max(box.clientWidth, 200);
    const all = [...lines.flatMap(line => line.values), ...stacked(areas).flatMap(area => area.top), 0];
    const low = spec.low ?? Math.min(...all), high = spec.high ?? Math.max(...all, low + 1e-6);
    this.x = step => LEFT + (this.width - LEFT - RIGHT) * step / steps;
    this.y = value => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (1.03 * (high - low));
    const ticks = niceTicks(low, high);
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
    this.dots = lines.map(line => svg("circle", { r: 3, fill: line.colour, opacity: line.opacity ?? 1 }));
    box.replaceChildren(svg("svg",
      { viewBox: `0 0 ${this.width} ${HEIGHT}`, role: "img", "aria-label": spec.title },
      ...ticks.flatMap(v => [
        svg("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: this.y(v), y2: this.y(v) }),
        svg("text", { x: LEFT - 7, y: this.y(v) + 4, "text-anchor": "end" }, tickText(v, ticks[1] - ticks[0] || 1)),
      ]),
      ...this.days(spec.days),
      ...stacked(areas).map(area => svg("path", { d: this.area(area), fill: area.colour })),
      ...lines.map(line => svg("path", {
        class: "line", d: this.path(line.values), stroke: line.colour, "stroke-width": line.width ?? 1.5,
        "stroke-dasharray": line.dash ?? "none", opacity: line.opacity ?? 1 })),
      this.cursor, ...this.dots));
    box.onpointerdown = box.onpointermove = event => {
      if (event.type === "pointermove" && !event.buttons) return;
      const place = (event.clientX - box.getBoundingClientRect().left - LEFT) / (this.width - LEFT - RIGHT);
      seek(Math.min(Math.max(Math.floor(place * steps), 0), steps - 1));
    };
  }

  path(values) {
    return values.map((v, t) => `${t ? "L" : "M"}${this.x(t).toFixed(1)} ${this.y(v).toFixed(1)}H${this.x(t + 1).toFixed(1)}`).join("");
  }

  area({ top, bottom }) {
    const back = bottom.map((v, t) => `L${this.x(t + 1).toFixed(1)} ${this.y(v).toFixed(1)}H${this.x(t).toFixed(1)}`);
    return `${this.path(top)}${back.reverse().join("")}Z`;
  }

  // Midnights, and their dates as far as there is room for them.
  days(days) {
    const room = days.length > 1 ? this.x(days[1][0]) - this.x(days[0][0]) : this.width, every = Math.ceil(58 / room);
    return days.flatMap(([step, text], i) => {
      const x = this.x(step), line = svg("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM });
      const fits = i % every === 0 && x < this.width - 40;
      return fits ? [line, svg("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, text)] : [line];
    });
  }

  show(t) {
    const x = this.x(t + 0.5);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    this.dots.forEach((dot, i) => {
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", this.y(this.lines[i].values[t]));
    });
  }
}

// Areas one on the other: each with its top and its bottom.
function stacked(areas) {
  let below = areas.length ? areas[0].values.map(() => 0) : [];
  return areas.map(({ values, colour }) => {
    const bottom = below, top = values.map((v, t) => v + bottom[t]);
    below = top;
    return { top, bottom, colour };
  });
}
