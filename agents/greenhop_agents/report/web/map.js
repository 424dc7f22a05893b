"use strict";
// A map of hubs: dots coloured by green share, arrows for the work that moves between them.

const GREENS = [[142, 154, 175], [201, 214, 196], [42, 157, 120]];  // green share 0, a half, 1
const LEAST_FLOW = 0.005;  // of the widest arrow: what moved less gets none

function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function greenColour(share) {
  const place = Math.min(Math.max(share, 0), 1) * 2, below = place < 1 ? 0 : 1;
  const mixed = GREENS[below].map((c, i) => Math.round(c + (GREENS[below + 1][i] - c) * (place - below)));
  return `rgb(${mixed})`;
}

// Green energy used per energy of the site, in step t of hub r.
function greenShare(series, t, r) {
  const used = series.used_green_mw[t][r] + series.ppa_mw[t][r];
  return Math.min(used / Math.max(series.facility_mw[t][r], 1e-9), 1);
}

class HubMap {
  constructor(box, data, choose) {
    Object.assign(this, { box, data, choose });
  }

  // Everything that stays while time passes.
  build(size, language, policy) {
    this.plan = this.data.maps[size];
    const { spots, radii, names, width, height } = this.plan;
    this.flows = svg("g");
    this.hubs = this.data.hubs.map((hub, r) => this.hub(r, hub[language], names[language][r]));
    const links = this.data.links.map(([a, b]) => svg("line", {
      class: "link", x1: spots[a][0], y1: spots[a][1], x2: spots[b][0], y2: spots[b][1] }));
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": policy },
      ...links, this.flows, ...this.hubs.map(hub => hub.group));
    this.box.replaceChildren(picture);
  }

  hub(r, name, place) {
    const [x, y] = this.plan.spots[r], radius = this.plan.radii[r];
    const dot = svg("circle", { class: "dot", cx: x, cy: y, r: radius });
    const number = svg("text", { class: "number", x, y });
    const group = svg("g", { class: "hub", tabindex: 0, role: "button", "data-hub": r },
      svg("circle", { class: "ring", cx: x, cy: y, r: radius + 3 }), dot, number);
    if (place) group.append(svg("text", { class: "name", x: place[0], y: place[1] }, name));
    const title = svg("title");
    group.append(title);
    group.addEventListener("click", () => this.choose(r));
    group.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      event.stopPropagation();
      this.choose(r);
    });
    return { group, dot, number, title, name };
  }

  // What step t of a policy looks like; `widest` MW get the widest arrow.
  show(series, t, chosen, widest) {
    this.hubs.forEach(({ group, dot, number, title, name }, r) => {
      const share = greenShare(series, t, r), percent = Math.round(100 * share);
      dot.setAttribute("fill", greenColour(share));
      if (this.plan.numbers) number.textContent = percent;
      title.textContent = `${name}: ${percent} %`;
      group.setAttribute("aria-label", title.textContent);
      group.setAttribute("aria-pressed", r === chosen);
      group.classList.toggle("chosen", r === chosen);
      group.classList.toggle("late", series.missed_mwh[t][r] > 0.001 * this.data.hubs[r].capacity_mw);
    });
    const moving = series.moved_mw[t].map((mw, l) => [mw / widest, ...this.data.links[l]]);
    this.flows.replaceChildren(...moving.filter(([share]) => share > LEAST_FLOW).map(flow => this.arrow(...flow)));
  }

  // A bent arrow from hub a to hub b, so that both directions of a link can be seen.
  arrow(share, a, b) {
    const { spots, radii } = this.plan, wide = 0.8 + 5.2 * Math.sqrt(Math.min(share, 1));
    const [ax, ay] = spots[a], [bx, by] = spots[b], long = Math.hypot(bx - ax, by - ay) || 1;
    const head = 4 + 1.3 * wide, half = 2.2 + 0.85 * wide, room = long - radii[a] - radii[b];
    const bend = room > 2 * head ? 0.16 : 0.7;  // neighbours whose dots nearly touch: around them
    const cx = (ax + bx) / 2 - bend * (by - ay), cy = (ay + by) / 2 + bend * (bx - ax);
    const toward = (x, y) => { const d = Math.hypot(cx - x, cy - y) || 1; return [(cx - x) / d, (cy - y) / d]; };
    const [sx, sy] = toward(ax, ay), [ex, ey] = toward(bx, by);
    const tip = [bx + ex * (radii[b] + 2), by + ey * (radii[b] + 2)], neck = [tip[0] + ex * head, tip[1] + ey * head];
    const from = [ax + sx * (radii[a] + 1), ay + sy * (radii[a] + 1)];
    return svg("g", { class: "flow" },
      svg("path", { d: `M${from}Q${cx} ${cy} ${neck}`, fill: "none", "stroke-width": wide }),
      svg("path", { stroke: "none",
        d: `M${tip}L${neck[0] - ey * half} ${neck[1] + ex * half}L${neck[0] + ey * half} ${neck[1] - ex * half}Z` }));
  }
}
