
const PRIORITIES = ["high", "medium", "low"];
const OUT = "OUT_OF_SERVICE", RETURNED = "RTN_UNACK";
const ringing = (a) => a.active && !a.shelved && !a.suppressed && a.state !== OUT;
const byWeight = (a, b) => b.severity - a.severity || a.active_since_ms - b.active_since_ms ||
  a.alarm_id.localeCompare(b.alarm_id);
const causeOf = (a) => a.alarm_id.slice(0, -a.camera_id.length - 1);

// A time of the agent's clock; with its date where that is not today's.
function when(at, now) {
  const [day, today] = [at, now].map((ms) => new Date(ms).toDateString());
  return day === today ? time(at) : `${date(at)} ${time(at)}`;
}

// Children of a node by key, in the order asked for; what is there already stays the same node.
class Rows {
  constructor(node, create) {
    this.node = node;
    this.create = create;
    this.rows = new Map();
  }
  show(keyed) {
    for (const [key, row] of this.rows) {
      if (!keyed.has(key)) { row.node.remove(); this.rows.delete(key); }
    }
    let place = 0;
    for (const [key, item] of keyed) {
      if (!this.rows.has(key)) this.rows.set(key, this.create(item));
      const row = this.rows.get(key), there = this.node.children[place++];
      if (there !== row.node) this.node.insertBefore(row.node, there || null);
      row.update(item);
    }
  }
}

// One alarm that rings: its sentence, its picture, since when, and who has seen it.
class Item {
  constructor({alarm}) {
    this.picture = new Picture(t("evidence_of",
      {title: alarm.title, place: alarm.camera_id}));
    this.picture.node.hidden = true;
    this.words = document.createTextNode("");
    this.small = make("small", {});
    this.acts = actButton(t("act"), "act", () => ({alarm: this.alarm}));
    this.node = make("li", {}, this.picture.node, make("p", {}, this.words, this.small), this.acts);
  }
  update({alarm, view, alone}) {
    this.alarm = alarm;
    nameAct(this.acts, alarm);
    if (this.words.data !== alarm.message) this.words.data = alarm.message;
    say(this.small, [...(alone ? [term(alarm.priority), alarm.title] : []), alarm.camera_id,
      t("since", {when: when(alarm.active_since_ms, view.utc_ms)}),
      !alarm.acked ? "" : alarm.acked_by ? t("acknowledged_by", {name: alarm.acked_by}) : t("acknowledged"),
      alarm.comment, alarm.quality === "good" ? "" : t("quality", {quality: term(alarm.quality)})]
      .filter(Boolean).join(" · "));
    this.picture.node.hidden = !view.evidence.includes(alarm.event_id);
    if (!this.picture.node.hidden)
      this.picture.show("api/v1/evidence/" + encodeURIComponent(alarm.event_id), alarm.event_id);
  }
}

// All alarms of one cause: the most severe with its sentence, the others by their lanes and, opened,
// with theirs. Shape and colour say the priority, as words do.
class Group {
  constructor() {
    this.title = make("h2", {});
    this.priority = make("b", {class: "priority"});
    this.first = make("ul", {});
    this.where = make("summary", {});
    this.list = make("ul", {});
    this.others = make("details", {class: "others"}, this.where, this.list);
    this.worst = new Rows(this.first, (item) => new Item(item));
    this.items = new Rows(this.list, (item) => new Item(item));
    this.node = make("div", {}, make("div", {class: "mark", "aria-hidden": "true"}),
      make("div", {class: "says"}, make("div", {class: "title"}, this.priority, this.title),
        this.first, this.others));
  }
  update({alarms, view}) {
    const worst = alarms[0], alone = alarms.length === 1;
    dress(this.node, `alarm ${worst.priority}` + (alone ? "" : " several"));
    say(this.priority, term(worst.priority));
    say(this.title, worst.title + (alone ? "" : `: ${alarms.length}`));
    const keyed = alarms.map((alarm) => [alarm.alarm_id, {alarm, view, alone}]);
    this.worst.show(new Map(keyed.slice(0, 1)));
    this.items.show(new Map(keyed.slice(1)));
    this.others.hidden = alone;
    say(this.where, t("also",
      {places: alarms.slice(1).map((alarm) => alarm.camera_id).join(", ")}));
  }
}

class QuietItem {
  constructor() {
    this.text = make("span", {});
    this.acts = actButton(t("act"), "act", () => ({alarm: this.alarm}));
    this.node = make("li", {}, this.text, " ", this.acts);
  }
  update({alarm, text}) {
    this.alarm = alarm;
    nameAct(this.acts, alarm);
    say(this.text, text);
  }
}
const nameAct = (button, alarm) =>
  set(button, "aria-label", `${t("act")}: ${alarm.title}, ${alarm.camera_id}`);

// Alarms that do not ring, and why: a line each, below a line that counts them.
class Quiet {
  constructor(name, why) {
    this.name = name;
    this.why = why;
    this.head = make("summary", {});
    this.list = make("ul", {});
    this.items = new Rows(this.list, () => new QuietItem());
    this.node = make("details", {class: "quiet"}, this.head, this.list);
    this.node.hidden = true;
  }
  show(alarms, now) {
    this.node.hidden = !alarms.length;
    const names = alarms.length > 2 ? "" : alarms.map((a) => `${a.title} ${a.camera_id}`).join(", ");
    say(this.head, `${this.name}: ${alarms.length}${names && ` (${names})`}`);
    this.items.show(new Map(alarms.map((a) => [a.alarm_id,
      {alarm: a, text: [a.title, a.camera_id, this.why(a, now), a.comment].filter(Boolean).join(" · ")}])));
  }
}

const groups = new Rows(byId("ringing"), () => new Group());
const trueNow = (a, ...more) => [a.active ? t("true_now") : "", ...more].filter(Boolean).join(" · ");
const quiet = {
  returned: new Quiet(t("returned"), (a, now) => t("from_to",
    {from: when(a.active_since_ms, now), to: when(a.cleared_at_ms, now)})),
  shelved: new Quiet(t("shelved"), (a, now) => trueNow(a,
    a.shelved_until_ms && t("until", {when: when(a.shelved_until_ms, now)}))),
  suppressed: new Quiet(t("suppressed"),
    (a) => trueNow(a, t("for_as_long_as", {reason: a.suppressed_by}))),
  out: new Quiet(t("out"), (a) => trueNow(a, t("until_back"))),
};
byId("quiet").append(...Object.values(quiet).map((list) => list.node));

// Show every alarm, and return those that ring, the most severe first.
function showAlarms(view) {
  const rings = view.alarms.filter(ringing).sort(byWeight), causes = new Map();
  for (const alarm of rings) {
    const cause = causeOf(alarm);
    if (!causes.has(cause)) causes.set(cause, {alarms: [], view});
    causes.get(cause).alarms.push(alarm);
  }
  groups.show(causes);
  const others = view.alarms.filter((a) => !ringing(a)).sort(byWeight), now = view.utc_ms;
  const out = (a) => a.state === OUT;
  quiet.returned.show(others.filter((a) => a.state === RETURNED), now);
  quiet.out.show(others.filter(out), now);
  quiet.shelved.show(others.filter((a) => a.shelved && !out(a)), now);
  quiet.suppressed.show(others.filter((a) => a.suppressed && !a.shelved && !out(a)), now);
  return rings;
}
