// The page: what is chosen, what is shown of it, and who may change it.

const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const { hubs, policies } = data;
const STEPS = policies[0].series.hour.length, MILLION = 1e6, DAYS_PER_YEAR = 365;
const HOURS_A_SECOND = [2, 4, 8, 16, 32];
const BOUND = policies.findIndex(p => p.name === "bound");
const OTHERS = ["bound", "price_follow"];

for (const policy of policies) {
  let sum = 0;
  policy.paid = policy.series.cost_cny.map(cost => sum += cost);
}
const widest = Math.max(1, ...policies.flatMap(p => p.series.moved_mw.flat()));
const first = Math.max(policies.findIndex(p => !OTHERS.includes(p.name)), policies.findIndex(p => p.name !== "bound"), 0);
const second = BOUND >= 0 ? BOUND : policies.findIndex((_, i) => i !== first);
const chosen = { t: 0, hub: 0, sides: [first, second < 0 ? first : second], language: "en", timer: 0 };

// Text in the language that is chosen; {names} are filled in.
function say(key, values = {}) {
  return data.labels[chosen.language][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const policyName = policy => policy.name === "bound" ? say("bound") : policy.name;
const safe = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt()};`);
const hubName = hub => hub[chosen.language];

function number(value, digits) {
  const places = digits ?? (Math.abs(value) < 100 ? 1 : 0);
  return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places }).replace("-", "\u2212");
}

// A date in a year of the world, which has 365 days.
function date(hour, style) {
  const time = new Date(Date.UTC(2023, 0, 1) + (hour % (DAYS_PER_YEAR * HOURS_PER_DAY)) * 3600e3);
  return time.toLocaleString(chosen.language === "zh" ? "zh-CN" : "en-GB", { timeZone: "UTC", ...style });
}

const DAY = { day: "numeric", month: "short" }, HOUR = { hour: "2-digit", minute: "2-digit", hour12: false };

function midnights() {
  const hours = policies[0].series.hour, out = [];
  hours.forEach((hour, t) => { if (hour % HOURS_PER_DAY < data.dt_h) out.push([t, date(hour, DAY)]); });
  return out;
}

const maps = [...document.querySelectorAll(".map")].map(box => new HubMap(box, data, chooseHub));
let charts = [];

function chooseHub(r) {
  chosen.hub = r;
  at("hub").value = r;
  drawCharts();
  show();
}

// Lines of every policy for a series of the chosen hub, or what `values` makes of a policy; the two compared stand out.
function lines(values) {
  return policies.map((policy, i) => {
    const compared = chosen.sides.includes(i);
    return { values: values(policy), colour: policy.colour, width: compared ? 2.2 : 1.3, opacity: compared ? 1 : 0.75 };
  });
}

const ofHub = field => policy => policy.series[field].map(values => values[chosen.hub]);

function supply(side, high) {
  const policy = policies[chosen.sides[side]], of = field => ofHub(field)(policy);
  return {
    areas: usedSources().map(({ field, colour }) => ({ values: of(field), colour })),
    lines: [{ values: of("green_mw"), colour: "#1f7a5d", width: 1.2, dash: "4 3" },
            { values: of("facility_mw"), colour: "#22303c", width: 1.5 }],
    high,
  };
}

const usedSources = () => data.sources.filter(({ field }) => policies.some(p => p.series[field].flat().some(v => v > 0.01)));

function highestSupply() {
  const sums = chosen.sides.flatMap(i => policies[i].series.hour.map((_, t) =>
    data.sources.reduce((sum, { field }) => sum + policies[i].series[field][t][chosen.hub], 0)));
  const green = ofHub("green_mw")(policies[0]), use = chosen.sides.flatMap(i => ofHub("facility_mw")(policies[i]));
  return Math.max(...sums, ...green, ...use);
}

function drawCharts() {
  const high = highestSupply(), world = policies[0].series;
  const beyond = policy => policy.paid.map((paid, t) => (paid - (BOUND < 0 ? 0 : policies[BOUND].paid[t])) / MILLION);
  const specs = {
    supply0: supply(0, high),
    supply1: supply(1, high),
    power: { lines: lines(ofHub("facility_mw")) },
    price_chart: { lines: [{ values: world.price_cny_per_mwh.map(v => v[chosen.hub]), colour: "#e4572e", width: 1.6 }] },
    backlog: { lines: lines(ofHub("backlog_mwh")) },
    soc: { lines: lines(policy => ofHub("soc_share")(policy).map(v => 100 * v)), low: 0, high: 100 },
    paid: { lines: lines(beyond) },
    moved: { lines: lines(policy => policy.series.moved_mw.map(moved => moved.reduce((a, b) => a + b, 0))) },
  };
  const stored = world.soc_share[0][chosen.hub] !== null, days = midnights();
  charts = [];
  for (const [id, spec] of Object.entries(specs)) {
    if (id === "soc" && !stored) {
      at(id).innerHTML = `<p class="none">${say("no_store")}</p>`;
      at(id).onpointerdown = at(id).onpointermove = null;
      continue;
    }
    const title = at(id).parentNode.querySelector("figcaption").textContent;
    charts.push(new Chart(at(id), { ...spec, steps: STEPS, days, title }, seek));
  }
}

// Everything that depends on language, width or the policies compared.
function build() {
  document.documentElement.lang = chosen.language === "zh" ? "zh-CN" : "en";
  document.title = say("title", { name: data.name });
  at("title").textContent = document.title;
  at("lead").textContent = say("lead", { hours: number(STEPS * data.dt_h, 0), date: date(policies[0].series.hour[0], DAY) });
  for (const element of document.querySelectorAll("[data-label]")) element.textContent = say(element.dataset.label);
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", button.dataset.language === chosen.language);
  at("key_arrow").textContent = say("key_arrow", { mw: number(widest, 0) });
  at("time").setAttribute("aria-label", say("time"));
  options(at("hub"), hubs.map(hubName), chosen.hub);
  options(at("speed"), HOURS_A_SECOND.map(h => say("hours_a_second", { h })), at("speed").value || 2);
  document.querySelectorAll(".view").forEach((view, side) => {
    const policy = policies[chosen.sides[side]];
    options(view.querySelector("select"), policies.map(policyName), chosen.sides[side]);
    view.querySelector("select").setAttribute("aria-label", say("shown"));
    view.querySelector(".swatch").style.background = policy.colour;
    maps[side].build(maps[side].box.clientWidth < 450 ? "narrow" : "wide", chosen.language, policyName(policy));
    at(`supply${side}_title`).textContent = say("chart_supply", { policy: policyName(policy) });
  });
  at("paid_title").textContent = say(BOUND < 0 ? "chart_paid" : "chart_beyond");
  const mark = (kind, style, text) => `<li><i class="${kind}" style="${style}"></i>${text}</li>`;
  at("key_sources").innerHTML = usedSources().map(s => mark("box", `background:${s.colour}`, say(`source_${s.key}`))).join("")
    + mark("stroke dashed", "color:#1f7a5d", say("available")) + mark("stroke", "color:#22303c", say("used"));
  at("key_policies").innerHTML = policies.map(p => mark("stroke", `color:${p.colour}`, safe(policyName(p)))).join("");
  at("now").innerHTML = policies.map(p =>
    `<tr><th scope="row"><i class="swatch" style="background:${p.colour}"></i>${safe(policyName(p))}</th>`
    + ["power", "green", "backlog", "soc", "paid"].map(f => `<td data-field="${f}"></td>`).join("")
    + `<td class="whole">${number(p.paid[STEPS - 1] / MILLION, 2)}</td></tr>`).join("");
  drawCharts();
  show();
}

function options(select, texts, value) {
  select.replaceChildren(...texts.map((text, i) => new Option(text, i)));
  select.value = value;
}

// What changes from step to step.
function show() {
  const { t, hub } = chosen, world = policies[0].series, hour = world.hour[t];
  at("time").value = t;
  const when = `${date(hour, DAY)} ${date(hour, HOUR)}`;
  const count = say("step", { t: number(t + 1, 0), steps: number(STEPS, 0) });
  at("clock").innerHTML = `<b>${when}</b><small>${count}</small>`;
  at("time").setAttribute("aria-valuetext", `${when}, ${count}`);
  at("price").innerHTML = say("price_now", { price: `<b data-field="price">${number(world.price_cny_per_mwh[t][hub])}</b>` });
  document.querySelectorAll(".view").forEach((view, side) => {
    const policy = policies[chosen.sides[side]];
    view.querySelector(".paid").textContent = say("paid_so_far", { paid: number(policy.paid[t] / MILLION, 2) });
    maps[side].show(policy.series, t, hub, widest);
  });
  policies.forEach(({ series, paid }, i) => {
    const soc = series.soc_share[t][hub];
    const cells = {
      power: number(series.facility_mw[t][hub]), green: number(100 * greenShare(series, t, hub), 0),
      backlog: number(series.backlog_mwh[t][hub]), soc: soc === null ? "–" : number(100 * soc, 0),
      paid: number(paid[t] / MILLION, 2),
    };
    for (const [field, text] of Object.entries(cells))
      at("now").rows[i].querySelector(`[data-field=${field}]`).textContent = text;
  });
  for (const chart of charts) chart.show(t);
  at("play").textContent = chosen.timer ? `❚❚ ${say("pause")}` : `▶ ${say("play")}`;
}

function seek(t) {
  chosen.t = Math.min(Math.max(t, 0), STEPS - 1);
  show();
}

function pause() {
  clearInterval(chosen.timer);
  chosen.timer = 0;
}

function play() {
  pause();
  chosen.timer = setInterval(() => {
    if (chosen.t >= STEPS - 1) pause();
    seek(chosen.t + 1);
  }, 1000 * data.dt_h / HOURS_A_SECOND[at("speed").value]);
}

function toggle() {
  if (chosen.timer) pause();
  else {
    if (chosen.t >= STEPS - 1) chosen.t = 0;
    play();
  }
  show();
}

at("time").max = STEPS - 1;
at("time").addEventListener("input", event => seek(Number(event.target.value)));
at("play").addEventListener("click", toggle);
at("speed").addEventListener("change", () => { if (chosen.timer) play(); });
at("hub").addEventListener("change", event => chooseHub(Number(event.target.value)));
document.querySelectorAll(".policy").forEach((select, side) =>
  select.addEventListener("change", () => { chosen.sides[side] = Number(select.value); build(); }));
for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => { chosen.language = button.dataset.language; build(); });
document.addEventListener("keydown", event => {  // wherever the keys mean nothing else
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, button, input, [role=button]")) return;
  if (event.key === " ") toggle();
  else if (event.key === "ArrowRight") seek(chosen.t + 1);
  else if (event.key === "ArrowLeft") seek(chosen.t - 1);
  else return;
  event.preventDefault();
});
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; build(); } });
if (navigator.language.startsWith("zh")) chosen.language = "zh";
build();
