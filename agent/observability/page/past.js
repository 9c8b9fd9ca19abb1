
// What was before: the last hours of the lane that is open, and the newest alarms. Asked for by who
// shows it, at most once a minute, so that a page that nobody reads costs nothing.
const PAST_MS = 60000, PAST_AGAIN_MS = 10000;
const MINUTES = 480, JOINED_S = 100;  // rows of which the ends lie further apart have a gap between
const PAST_HEIGHT = 60, STEPPED_S = 5;

// JSON of the agent by address; the browser keeps the last one and asks by its tag. Null without.
async function askAgent(path) {
  try {
    const answer = await fetch(location.origin + location.pathname + path, {cache: "no-cache",
      headers: {"X-Pitwatch-Page": "1"}, signal: AbortSignal.timeout(ANSWER_MS)});
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
// Asks once a minute while it is shown; ``key`` changes when there is news before that.
class Asking {
  constructor(path, take) {
    this.path = path;
    this.take = take;
    this.due = 0;
    this.asking = false;
  }
  async ask(key) {
    if (this.asking || performance.now() < this.due && key === this.key) return;
    this.asking = true;
    const data = await askAgent(this.path);
    this.asking = false;
    this.due = performance.now() + (data ? PAST_MS : PAST_AGAIN_MS);
    this.key = key;
    this.take(data);
  }
}

const clockFormat = new Intl.DateTimeFormat(LOCALE, {hour: "2-digit", minute: "2-digit", hourCycle: "h23"});
const clockTime = (at) => clockFormat.format(at);
const oneDecimal = (x) => x.toFixed(1);

// One figure over the last hours: its line, the limit that its alarm had then, and where the agent
// was off. ``low``: small values are bad.
class PastChart {
  constructor(name, low) {
    this.name = name;
    this.low = low;
    this.worst = make("b", {}, "–");
    const line = (more) => shape("path", {fill: "none", "vector-effect": "non-scaling-stroke", ...more});
    this.off = shape("path", {fill: "var(--line)"});
    this.limit = line({stroke: "var(--bad)", "stroke-width": 2, "stroke-dasharray": "6 4"});
    this.line = line({stroke: "var(--two)", "stroke-width": 2, "stroke-linejoin": "round"});
    this.svg = shape("svg", {viewBox: `0 0 ${MINUTES} ${PAST_HEIGHT}`, preserveAspectRatio: "none", role: "img"});
    this.svg.append(this.off, shape("path", {d: `M0 ${PAST_HEIGHT - 0.5}H${MINUTES}`,
      stroke: "var(--line)"}), this.limit, this.line);
    this.node = make("div", {class: "past"}, make("p", {}, make("span", {}, name), this.worst), this.svg);
  }
  show(rows, off) {
    const found = rows.filter((row) => known(row.value));
    const worst = found.reduce((one, row) =>
      !one || (this.low ? row.value < one.value : row.value > one.value) ? row : one, null);
    const beyond = worst && known(worst.limit) &&
      (this.low ? worst.value < worst.limit : worst.value > worst.limit);
    dress(this.node, beyond ? "past over" : "past");
    say(this.worst, !worst ? "–" : this.low
      ? t("lowest_at", {value: share(worst.value), time: clockTime(1000 * worst.end_s)})
      : t("highest_at", {value: share(worst.value), time: clockTime(1000 * worst.end_s)}));
    set(this.line, "d", pastPath(rows, "value"));
    set(this.limit, "d", pastPath(rows, "limit"));
    set(this.off, "d", off.map(([from, to]) =>
      `M${oneDecimal(from)} 0H${oneDecimal(to)}V${PAST_HEIGHT}H${oneDecimal(from)}Z`).join(""));
    const limit = found.length ? found[found.length - 1].limit : null;
    set(this.svg, "aria-label", t("past_chart", {name: this.name, worst: this.worst.textContent,
      limit: share(limit), count: total(found.length)}));
  }
}
// A line through the rows, broken where a value is not known and where rows are missing.
function pastPath(rows, key) {
  let path = "", before = null;
  for (const row of rows) {
    if (!known(row[key])) { before = null; continue; }
    const y = oneDecimal(PAST_HEIGHT - 1 - (PAST_HEIGHT - 2) * Math.min(1, Math.max(0, row[key])));
    const joined = before && row.end_s - before.end_s <= JOINED_S;
    path += joined ? `L${oneDecimal(row.x)} ${y}` : `M${oneDecimal(row.x - 1)} ${y}H${oneDecimal(row.x)}`;
    before = row;
  }
  return path;
}
// Stretches without a row, in minutes of the chart: the agent was off, or it had no history yet.
function stretchesOff(rows) {
  const off = [];
  let covered = 0;
  for (const row of rows) {
    const from = row.x - row.seconds / 60;
    if (from - covered > 0.7) off.push([covered, from]);
    covered = Math.max(covered, row.x);
  }
  if (MINUTES - covered > 2.5) off.push([covered, MINUTES]);
  return off;
}

const QUARTER_S = 900;
// The last hours of one lane: three charts, the alarms as bars above them, and the same as a table.
class LanePast {
  constructor(name) {
    this.charts = {no_read: new PastChart(t("past_read"), true),
      foreground: new PastChart(t("looks_at", {name: term("suture")}), true),
      reliance: new PastChart(t("on_background"), false)};
    this.marks = shape("svg", {viewBox: `0 0 ${MINUTES} 14`, preserveAspectRatio: "none", role: "img"});
    this.axis = make("p", {class: "axis", "aria-hidden": "true"});
    this.told = make("p", {class: "soft"}, t("past_asked"));
    this.body = make("tbody", {});
    this.table = make("details", {}, make("summary", {}, t("as_table")), make("div", {class: "wide", tabindex: "0"},
      make("table", {}, make("thead", {}, make("tr", {}, ...[t("past_from"), t("past_read"),
        t("looks_at", {name: term("suture")}), t("on_background"), t("past_fruit"), t("alarms")]
        .map((head) => make("th", {scope: "col"}, head)))), this.body)));
    this.table.addEventListener("toggle", () => this.showTable());
    this.node = make("section", {class: "pasts", "aria-label": t("past_of", {name})},
      make("h3", {}, t("past_hours", {hours: MINUTES / 60})),
      make("div", {class: "past"}, make("p", {}, make("span", {}, t("alarms"))), this.marks),
      ...Object.values(this.charts).map((chart) => chart.node), this.axis, this.told, this.table);
    this.data = null;
    this.asking = new Asking("api/v1/history/" + encodeURIComponent(name), (data) => {
      if (data) this.data = data;
      say(this.told, data ? t("past_legend") : t("past_not_given"));
      this.draw();
    });
  }
  update(view, alarms) {
    const now_s = view.utc_ms / 1000, mono_s = performance.now() / 1000;
    const set = Math.abs(now_s - this.now_s - (mono_s - this.mono_s)) > STEPPED_S;
    if (set) this.asking.due = 0;  // the agent's clock was set, and its history moved along
    [this.now_s, this.mono_s] = [now_s, mono_s];
    this.asking.ask(alarms.map((a) => a.event_id + a.state).join());
    if (Math.floor(this.now_s / 60) !== this.drawn) this.draw();
  }
  draw() {
    if (!this.data) return;
    this.drawn = Math.floor(this.now_s / 60);
    const column = (name) => this.data[name] || [];
    this.rows = column("end_s").map((end_s, i) => ({end_s, x: MINUTES - (this.now_s - end_s) / 60,
      seconds: column("seconds")[i] || 60, fruit: column("fruit")[i], i}))
      .filter((row) => row.x > 0 && row.x <= MINUTES + 1);
    const off = stretchesOff(this.rows);
    const upside = {no_read: (v) => known(v) ? 1 - v : null};
    for (const [name, chart] of Object.entries(this.charts)) {
      const turn = upside[name] || ((v) => v);
      for (const row of this.rows) {
        row[name] = turn(column(name)[row.i]);
        row[name + "_limit"] = turn(column(name + "_limit")[row.i]);
      }
      chart.show(this.rows.map((row) => ({...row, value: row[name], limit: row[name + "_limit"]})), off);
    }
    this.showMarks(column("alarms"));
    this.axis.replaceChildren(...[8, 6, 4, 2, 0].map((hours) =>
      make("span", {}, hours ? clockTime(1000 * (this.now_s - 3600 * hours)) : t("past_now"))));
    this.showTable();
  }
  showMarks(alarms) {
    this.alarms = alarms.map((a) => {
      const from_s = a.began_ms / 1000;
      const to_s = a.lasts ? this.now_s : from_s + Math.max(a.duration_s || 0, 60);
      return {...a, from_s, to_s};
    });
    const x = (s) => Math.min(MINUTES, Math.max(0, MINUTES - (this.now_s - s) / 60));
    this.marks.replaceChildren(...this.alarms.map((a) => {
      const bar = shape("rect", {x: oneDecimal(x(a.from_s)), y: 1, height: 12,
        width: oneDecimal(Math.max(2, x(a.to_s) - x(a.from_s))), class: PRIORITIES.includes(a.priority) ? a.priority : ""});
      bar.append(shape("title", {}));
      bar.firstChild.textContent = markWords(a);
      return bar;
    }));
    set(this.marks, "aria-label", this.alarms.length
      ? this.alarms.slice(0, 20).map(markWords).join("; ") : t("past_no_alarm"));
  }
  // A quarter of an hour a line, newest first; made only while somebody reads it.
  showTable() {
    if (!this.table.open || !this.rows) { this.body.replaceChildren(); return; }
    const lines = [];
    const last = Math.ceil(this.now_s / QUARTER_S) * QUARTER_S;
    for (let to = last; to > last - 3600 * (MINUTES / 60); to -= QUARTER_S) {
      const rows = this.rows.filter((row) => row.end_s > to - QUARTER_S && row.end_s <= to);
      const worst = (name, pick) => {
        const values = rows.map((row) => row[name]).filter(known);
        return values.length ? share(pick(...values)) : "–";
      };
      const fruit = rows.map((row) => row.fruit).filter(known);
      const rang = this.alarms.filter((a) => a.from_s <= to && a.to_s > to - QUARTER_S);
      lines.push(make("tr", {}, make("th", {scope: "row"}, clockTime(1000 * (to - QUARTER_S))),
        ...(rows.length ? [worst("no_read", Math.min), worst("foreground", Math.min),
          worst("reliance", Math.max), total(fruit.reduce((sum, n) => sum + n, 0))]
          : [t("agent_off"), "–", "–", "–"]).map((text) => make("td", {}, text)),
        make("td", {}, rang.map((a) => a.title).join(", "))));
    }
    this.body.replaceChildren(...lines);
  }
}
const endOf = (a) => a.lasts ? t("lasts_still") : known(a.duration_s) ? age(a.duration_s) : t("end_unseen");
const markWords = (a) => t("past_mark", {title: a.title, time: clockTime(a.began_ms), end: endOf(a)});

// The newest alarms of all lanes, those that are over included. Asked for while it is open.
class PastAlarms {
  constructor() {
    this.body = make("tbody", {});
    this.none = make("p", {class: "soft"});
    const heads = [t("began"), t("past_where"), t("past_alarm"), t("lasted"), t("acked_by"), t("comment")];
    this.node = make("details", {id: "before"}, make("summary", {}, t("alarms_before")), this.none,
      make("div", {class: "wide", tabindex: "0"}, make("table", {}, make("thead", {}, make("tr", {},
        ...heads.map((head) => make("th", {scope: "col"}, head)))), this.body)));
    this.rows = new Rows(this.body, () => new PastRow());
    this.asking = new Asking("api/v1/alarms", (data) => {
      if (data) this.list = data.alarms || [];
      this.node.classList.toggle("stale", !data);
      say(this.none, !data ? t("past_not_given") : this.list.length ? "" : t("past_no_alarm"));
      this.show();
    });
    this.node.addEventListener("toggle", () => { if (this.view) this.update(this.view); });
  }
  update(view) {
    this.view = view;
    if (!this.node.open) return;
    this.asking.ask(view.alarms.map((a) => a.event_id + a.state + a.acked_by + a.comment).join());
    this.show();
  }
  show() {
    if (this.list) this.rows.show(new Map(this.list.map((a) => [a.event_id, {a, view: this.view}])));
  }
}
class PastRow {
  constructor() {
    this.began = make("th", {scope: "row"});
    [this.where, this.alarm, this.lasted, this.by, this.comment] = [...Array(5)].map(() => make("td", {}));
    this.link = make("a", {target: "_blank", rel: "noopener"}, t("past_picture"));
    this.title = make("span", {});
    this.alarm.append(this.title, " ", this.link);
    this.node = make("tr", {}, this.began, this.where, this.alarm, this.lasted, this.by, this.comment);
  }
  update({a, view}) {
    say(this.began, when(a.began_ms, view.utc_ms));
    say(this.where, a.camera_id);
    say(this.title, `${a.title}: ${a.message}`);
    say(this.lasted, endOf(a));
    say(this.by, a.acked_by || "–");
    say(this.comment, a.comment || "");
    this.link.hidden = !(a.evidence || view.evidence.includes(a.event_id));
    if (!this.link.hidden) set(this.link, "href", "api/v1/evidence/" + encodeURIComponent(a.event_id));
  }
}
const pastAlarms = new PastAlarms();
byId("past").append(pastAlarms.node);
