
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
// Nodes live as long as the page, and only what differs is written: the focus of a keyboard stays
// where it is, and a page that shows the same costs nothing.
function say(node, text) { if (node.textContent !== text) node.textContent = text; }
function dress(node, name) { if (node.className !== name) node.className = name; }
function set(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// The picture at an address, decoded, so that it appears in the same moment as what is said of it;
// null when there is none, or none in time.
const PICTURE_MS = 4000;
async function loaded(url, name) {
  const image = make("img", {alt: name});
  let timer = null;
  const late = new Promise((_, refuse) => { timer = setTimeout(refuse, PICTURE_MS); });
  try {
    image.src = url;
    await Promise.race([image.decode(), late]);
    return image;
  } catch {
    image.removeAttribute("src");
    return null;
  } finally {
    clearTimeout(timer);
  }
}
const since = (mono) => (performance.now() - mono) / 1000;  // no clock of the panel counts
const grabbed = (age_s) => performance.now() - 1000 * age_s;

// A picture that Enter or a click shows large. ``put`` takes one that is loaded, with what is said of
// it; ``show`` an address, which is asked for only when ``version`` changes.
class Picture {
  constructor(name) {
    this.image = make("img", {alt: name});
    this.node = make("button", {class: "picture", type: "button", "aria-label": t("enlarge", {name})},
      this.image);
    this.act = () => enlarge(this);
    this.node.addEventListener("click", () => this.act());
    this.name = this.words = name;
  }
  put(image, words) {
    this.image.replaceWith(image);
    this.image = image;
    this.words = words;
    if (enlarged === this) enlarge(this);
  }
  show(url, version) {
    if (this.version === version) return;
    this.version = version;
    this.image.src = url + "?v=" + encodeURIComponent(version);
    if (enlarged === this) enlarge(this);
  }
}
let enlarged = null;
async function enlarge(picture) {
  enlarged = picture;
  const dialog = byId("large"), words = picture.words;
  const image = await loaded(picture.image.src, picture.name);
  if (!image || enlarged !== picture || picture.words !== words) return;
  dialog.querySelector("img").replaceWith(image);
  say(dialog.querySelector("p"), words);
  if (!dialog.open) dialog.showModal();
}

// Values in [0, 1] over the newest explanations, with the zone in which an alarm is due. ``bad`` is
// -1 where small values are bad, 1 where large ones are.
class Chart {
  constructor(name, bad) {
    this.name = name;
    this.bad = bad;
    this.value = make("b", {}, "–");
    this.head = make("span", {}, name);
    this.zone = shape("rect", {x: 0, width: 240, fill: "var(--zone)"});
    this.limit = shape("line", {x1: 0, x2: 240, stroke: "var(--bad)", "stroke-width": 2,
      "stroke-dasharray": "6 4", "vector-effect": "non-scaling-stroke"});
    this.second = this.series("var(--two)", 2);
    this.first = this.series("var(--one)", 3);
    this.svg = shape("svg", {viewBox: "0 0 240 50", preserveAspectRatio: "none", role: "img",
      "aria-label": name});
    this.svg.append(this.zone, shape("path", {d: "M0 49.5H240", stroke: "var(--line)"}),
      this.limit, this.second, this.first);
    this.node = make("div", {class: "chart"}, make("p", {}, this.head, this.value), this.svg);
  }
  series(colour, width) {
    return shape("path", {fill: "none", stroke: colour, "stroke-width": width,
      "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke"});
  }
  // ``level``: what the alarm compares with its limit; without one the newest value is said.
  show(values, level, others = []) {
    const now = level ? level.value : values.length ? values[values.length - 1] : null;
    const limit = level ? level.limit : null;
    say(this.value, share(now));
    say(this.head, level ? t("mean_of", {name: this.name, window: level.window}) : this.name);
    dress(this.node, over(level) ? "chart over" : "chart");
    set(this.first, "d", path(values));
    set(this.second, "d", path(others));
    const y = 49 - 48 * (limit ?? 0);
    for (const end of ["y1", "y2"]) set(this.limit, end, y);
    set(this.limit, "visibility", known(limit) ? "visible" : "hidden");
    set(this.zone, "visibility", known(limit) ? "visible" : "hidden");
    set(this.zone, "y", this.bad > 0 ? 0 : y);
    set(this.zone, "height", this.bad > 0 ? y : 50 - y);
    set(this.svg, "aria-label", t("chart",
      {name: this.name, value: share(now), limit: share(limit), count: values.length}));
  }
}
// Whether an alarm is due by a level. One that is not judged (too few samples, or old ones) never is.
const over = (level) => Boolean(level && level.judged && known(level.value) &&
  (level.low ? level.value < level.limit : level.value > level.limit));
const CHART_COLUMNS = 60;
function path(values) {
  const first = CHART_COLUMNS - values.length;
  let line = "", pen = "M";
  values.forEach((value, i) => {
    if (!known(value)) { pen = "M"; return; }
    const x = 240 * (first + i + 1) / CHART_COLUMNS, y = 49 - 48 * Math.min(1, value);
    line += `${pen}${(x - (pen === "M" ? 2 : 0)).toFixed(1)} ${y.toFixed(1)}`;
    if (pen === "M") line += `L${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return line;
}

// Name and value. ``beyond``: "warn" when its alarm is active, "due" when the value is beyond the limit
// and its alarm waits for its delay.
class Value {
  constructor(name, size = "") {
    this.text = make("dd", {class: size}, "–");
    this.size = size;
    this.name = name;
    this.head = make("dt", {}, name);
    this.node = make("div", {}, this.head, this.text);
  }
  show(text, beyond = "", title = "", level = null) {
    say(this.text, text);
    say(this.head, level ? t("last", {name: this.name, window: level.window}) : this.name);
    dress(this.text, beyond ? `${this.size} ${beyond}` : this.size);
    set(this.node, "title", title);
  }
}
