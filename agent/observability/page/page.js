
const ALARMS_SHOWN = 4;
const cards = new Map(), banners = new Map(), tiles = new Map();

class Banner {
  constructor(alarm) {
    this.picture = new Picture(`Evidence of ${alarm.title}, ${alarm.camera_id}`);
    this.picture.node.hidden = true;
    this.text = make("p", {});
    this.small = make("small", {});
    this.words = document.createTextNode("");
    this.text.append(this.words, this.small);
    this.node = make("div", {class: "alarm"}, this.picture.node, this.text);
  }
  update(alarm, evidence) {
    dress(this.node, alarm.severity >= 500 ? "alarm bad" : "alarm");
    if (this.words.data !== alarm.message) this.words.data = alarm.message;
    const since = time(alarm.active_since_ms);
    say(this.small, `${alarm.priority} · since ${since}${alarm.acked ? " · acknowledged" : ""}` +
      (alarm.quality === "good" ? "" : ` · quality ${alarm.quality}`));
    this.picture.node.hidden = !evidence;
    if (evidence)
      this.picture.show("api/v1/evidence/" + encodeURIComponent(alarm.event_id), alarm.event_id);
  }
}

class Tile {
  constructor(name) {
    this.head = make("b", {});
    this.text = make("p", {});
    this.node = make("div", {class: "tile"}, make("h3", {}, name), this.head, this.text);
  }
  show(kind, head, text) {
    dress(this.node, "tile " + kind);
    say(this.head, head);
    say(this.text, text);
  }
}
function tile(name, kind, head, text) {
  if (!tiles.has(name)) {
    tiles.set(name, new Tile(name));
    byId("system").append(tiles.get(name).node);
  }
  tiles.get(name).show(kind, head, text);
}

function showAlarms(view) {
  const active = view.alarms.filter((a) => a.active && !a.shelved && !a.suppressed &&
    a.state !== "OUT_OF_SERVICE").sort((a, b) => b.severity - a.severity);
  const shown = active.slice(0, ALARMS_SHOWN);
  for (const [id, banner] of banners) {
    if (!shown.some((a) => a.alarm_id === id)) { banner.node.remove(); banners.delete(id); }
  }
  dress(byId("alarms"), shown.length > 1 ? "many" : "");
  const evidence = new Set(view.evidence);
  shown.forEach((alarm, i) => {
    if (!banners.has(alarm.alarm_id)) banners.set(alarm.alarm_id, new Banner(alarm));
    const banner = banners.get(alarm.alarm_id);
    banner.update(alarm, evidence.has(alarm.event_id));
    const there = byId("alarms").children[i];
    if (there !== banner.node) byId("alarms").insertBefore(banner.node, there || null);
  });
  let more = byId("more");
  if (active.length > ALARMS_SHOWN && !more) {
    more = make("p", {id: "more"});
    byId("alarms").append(more);
  }
  if (more) {
    more.hidden = active.length <= ALARMS_SHOWN;
    say(more, `and ${active.length - ALARMS_SHOWN} more`);
  }
  return active;
}

function showState(view, active) {
  const node = byId("state");
  const late = view.cameras.filter((c) => c.state !== "live");
  if (active.length) {
    dress(node, active[0].severity >= 500 ? "bad" : "warn");
    say(node, active.length === 1 ? "1 alarm" : `${active.length} alarms`);
  } else if (late.length) {
    dress(node, "warn");
    say(node, `${late.map((c) => c.name).join(", ")} ${late[0].state || "starting"}`);
  } else {
    dress(node, "good");
    say(node, "No alarm");
  }
  say(byId("agent"), view.agent_id);
  say(byId("machine"), view.machine.state === "unknown" ? "machine: no word"
    : `machine ${words(view.machine.state)}` + (view.machine.lot ? ` · lot ${view.machine.lot}` : ""));
  say(byId("clock"), time(view.utc_ms));
  const title = `${active.length ? `(${active.length}) ` : ""}${view.agent_id} · Pitwatch`;
  if (document.title !== title) document.title = title;
}

function showSystem(view) {
  const e = view.explanations, m = view.messages, w = view.workers, link = view.link;
  tile("Explanations", e.completed ? "good" : "warn",
    `${fixed(e.per_minute, 0)} a minute`, `p50 ${fixed(e.compute.p50_s, 2)} s, p95 ` +
    `${fixed(e.compute.p95_s, 2)} s · ${total(e.completed)} made, ${total(e.dropped)} lost` +
    (e.dropped ? ` (${counts(e.drops)})` : ""));
  tile("Workers", !w ? "" : w.breaker_open ? "bad" : w.ready < w.workers ? "warn" : "good",
    !w ? "none" : w.breaker_open ? "switched off" : `${w.ready} of ${w.workers} ready`,
    w ? `${w.busy} busy, ${w.restarts} restarts${w.reason ? " · " + w.reason : ""}` : "");
  tile("Broker", !link ? "" : link.connected ? "good" : "bad",
    !link ? "not used" : link.connected ? "connected" : "away",
    link ? [view.broker_url, link.protocol && `MQTT ${link.protocol}`, `${link.reconnects} reconnects`,
      link.connected ? "" : words(link.reason)].filter(Boolean).join(" · ") : "");
  tile("Messages", m.dropped ? "warn" : "good", `${total(m.in_flight)} waiting`,
    `${total(m.delivered)} delivered, ${total(m.dropped)} lost` +
    (m.dropped ? ` (${counts(m.drops)})` : ""));
  if (known(m.spool_bytes)) {
    const full = m.spool_bytes / m.spool_limit_bytes;
    tile("Spool", full > 0.8 ? "bad" : m.spool_oldest_s > 60 ? "warn" : "good",
      m.spool_oldest_s > 0 ? `oldest ${age(m.spool_oldest_s)}` : "empty",
      `${(m.spool_bytes / 1048576).toFixed(1)} of ${(m.spool_limit_bytes / 1048576).toFixed(0)} MiB`);
  }
  const memory = view.processes.reduce((sum, p) => sum + p.resident_bytes, 0);
  tile("Memory", "good", `${(memory / 1048576).toFixed(0)} MiB`, view.processes
    .filter((p) => p.count).map((p) => `${p.process} ${(p.resident_bytes / 1048576).toFixed(0)}`).join(", "));
  say(byId("facts"), `up ${age(view.uptime_s)} · model ${view.model_name || "–"} ` +
    `${view.model_sha256.slice(0, 8)} · Pitwatch ${view.version}`);
}

function show(view) {
  showState(view, showAlarms(view));
  for (const camera of view.cameras) {
    if (!cards.has(camera.name)) {
      cards.set(camera.name, new CameraCard(camera.name));
      byId("cameras").append(cards.get(camera.name).node);
    }
    cards.get(camera.name).update(camera, view);
  }
  showSystem(view);
}

const PERIOD_MS = 1000, ANSWER_MS = 4000;
let heard = null, timer = null;
async function update() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      const answer = await fetch("api/v1/status",
        {cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS)});
      if (!answer.ok) throw new Error("status " + answer.status);
      show(await answer.json());
      heard = new Date();
      gone(null);
    } catch (error) {
      gone(error);
    }
  }
  clearTimeout(timer);
  timer = setTimeout(update, PERIOD_MS);
}
function gone(error) {
  byId("gone").hidden = !error;
  document.body.classList.toggle("gone", Boolean(error));
  if (!error) return;
  say(byId("gone"), "The agent does not answer" + (heard
    ? ` since ${time(heard)}: what is shown below is old.` : "."));
  dress(byId("state"), "bad");
  say(byId("state"), "No contact");
  document.title = "No contact · Pitwatch";
}

byId("large").addEventListener("close", () => { enlarged = null; });
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
document.addEventListener("keydown", (event) => {  // 1 to 9: to that camera
  const card = [...cards.values()][Number(event.key) - 1];
  if (!card || event.ctrlKey || event.altKey || event.metaKey) return;
  card.node.scrollIntoView({block: "start"});
  card.node.focus({preventScroll: true});
});
update();
