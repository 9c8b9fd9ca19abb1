
const cards = new Map(), tiles = new Map();

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

const runsNodes = {variety: make("span", {}), lot: make("span", {}), since: make("span", {})};
runsNodes.since.style.flex = "none";
byId("runs").append(...Object.values(runsNodes));

function showState(view, active) {
  const node = byId("state");
  const late = view.cameras.filter((c) => c.state !== "live");
  if (active.length) {
    dress(node, active[0].priority === "high" ? "bad" : "warn");
    say(node, active.length === 1 ? t("one_alarm") : t("many_alarms", {count: total(active.length)}));
  } else if (late.length) {
    dress(node, "warn");
    say(node, late.length > 2 ? t("not_live", {count: late.length})
      : `${late.map((c) => c.name).join(", ")} ${late[0].state ? term(late[0].state) : t("camera_starting")}`);
  } else {
    dress(node, "good");
    say(node, t("no_alarm"));
  }
  say(byId("agent"), view.agent_id);
  for (const id of ["agent", "state"]) set(byId(id), "title", byId(id).textContent);
  showMachine(view);
  say(byId("clock"), time(view.utc_ms));
  const title = `${active.length ? `(${active.length}) ` : ""}${view.agent_id} · Pitwatch`;
  if (document.title !== title) document.title = title;
}

// What the machine does, and which variety and lot run since when: those of the lane that is open, or
// of all lanes where they are the same.
function showMachine(view) {
  const state = view.machine.state;
  say(byId("does"), state === "unknown" ? t("machine_unknown") : t("machine", {state: term(state)}));
  const asked = view.cameras.filter((camera) => opened === null || camera.name === opened);
  const named = [...new Map(asked.map(({running: r}) => [[r.variety, r.lot].join("\n"), r])).values()];
  const {variety, lot, age_s} = named.length === 1 ? named[0]
    : {variety: [...new Set(named.map((r) => r.variety || "–"))].join(", ")};
  const runs = {variety: variety && t("variety", {variety}), lot: lot && t("lot", {lot}),
    since: known(age_s) && t("changed_over", {age: age(age_s)})};
  for (const [name, node] of Object.entries(runsNodes)) {
    say(node, runs[name] || "");
    set(node, "title", name === "since" ? t("changed_over_title") : runs[name] || "");
    node.hidden = !runs[name];
  }
}

function showSystem(view) {
  const e = view.explanations, m = view.messages, w = view.workers, link = view.link;
  const lost = (n, drops) => total(n) + (n ? ` (${counts(drops)})` : "");
  const mebibytes = (bytes, digits = 0) => fixed(bytes / 1048576, digits);
  tile(t("explanations"), e.completed ? "good" : "warn",
    t("a_minute", {count: fixed(e.per_minute, 0)}), t("compute", {
      half: lasting(e.compute.p50_s), most: lasting(e.compute.p95_s),
      made: total(e.completed), lost: lost(e.dropped, e.drops)}));
  tile(t("workers"), !w ? "" : w.breaker_open ? "bad" : w.ready < w.workers ? "warn" : "good",
    !w ? t("none") : w.breaker_open ? t("workers_off") : t("workers_ready", w),
    w ? [t("workers_busy", w), w.reason].filter(Boolean).join(" · ") : "");
  tile(t("broker"), !link ? "" : link.connected ? "good" : "bad",
    !link ? t("not_used") : link.connected ? t("connected") : t("away"),
    link ? [view.broker_url, link.protocol && `MQTT ${link.protocol}`,
      t("reconnects", {count: total(link.reconnects)}),
      link.connected ? "" : words(link.reason)].filter(Boolean).join(" · ") : "");
  tile(t("messages"), m.dropped ? "warn" : "good", t("waiting", {count: total(m.in_flight)}),
    t("delivered", {delivered: total(m.delivered), lost: lost(m.dropped, m.drops)}));
  if (known(m.spool_bytes)) {
    const full = m.spool_bytes / m.spool_limit_bytes;
    tile(t("spool"), full > 0.8 ? "bad" : m.spool_oldest_s > 60 ? "warn" : "good",
      m.spool_oldest_s > 0 ? t("oldest", {age: age(m.spool_oldest_s)}) : t("empty"),
      t("filled", {size: mebibytes(m.spool_bytes, 1), cap: mebibytes(m.spool_limit_bytes)}));
  }
  const kept = view.recording;
  tile(t("recording"), kept.paused ? "bad" : kept.on && kept.dropped ? "warn" : kept.on ? "good" : "",
    kept.paused ? t("recording_paused", {why: term(kept.paused)})
      : t(kept.on ? "recording_on" : "recording_off"),
    [kept.since_utc_ms && t("recording_since", {date: date(kept.since_utc_ms), time: time(kept.since_utc_ms)}),
      kept.on && t("filled", {size: mebibytes(kept.size_bytes, 1), cap: mebibytes(kept.limit_bytes)}),
      kept.on && counts(kept.records), kept.on && kept.dropped && t("not_kept", {count: total(kept.dropped)})]
      .filter(Boolean).join(" · "));
  const memory = view.processes.reduce((sum, p) => sum + p.resident_bytes, 0);
  tile(t("memory"), "good", `${mebibytes(memory)} MiB`, view.processes
    .filter((p) => p.count).map((p) => `${term(p.process)} ${mebibytes(p.resident_bytes)}`).join(", "));
  say(byId("facts"), t("facts", {age: age(view.uptime_s), model: view.model_name || "–",
    hash: view.model_sha256.slice(0, 8), version: view.version}));
}

// All lanes side by side, or one of them with everything: the one that the address names (#cam1).
const narrow = matchMedia("(max-width: 640px)");
const FEW_LANES = 4;  // stand two and two, however wide the screen is
let opened = null, last = null;
function openLane(name) { location.hash = name === null ? "" : encodeURIComponent(name); }
function arrange() {
  const asked = decodeURIComponent(location.hash.slice(1));
  const before = opened;
  opened = cards.has(asked) ? asked : null;
  const grid = cards.size > 1 && opened === null;
  document.body.classList.toggle("grid", grid);
  document.body.classList.toggle("few", cards.size <= FEW_LANES);
  byId("all").hidden = cards.size < 2 || grid;
  for (const [name, card] of cards) {
    card.node.hidden = !grid && cards.size > 1 && name !== opened;
    set(card.frame.node, "aria-label", t(grid ? "open_lane" : "enlarge", {name: card.frame.name}));
  }
  if (opened !== before) byId("own").open = !grid;
}
addEventListener("hashchange", () => {
  arrange();
  if (last) show(last);
  const card = cards.get(opened);
  if (card) { scrollTo(0, 0); card.node.focus({preventScroll: true}); }
});

function show(view) {
  const active = showAlarms(view), weights = new Map();
  last = view;
  updateActing(view);
  pastAlarms.update(view);
  showState(view, active);
  const ours = (camera) => active.filter((a) => [camera.name, camera.device].includes(a.camera_id));
  if (cards.size !== view.cameras.length) {
    for (const camera of view.cameras) {
      cards.set(camera.name, new CameraCard(camera.name));
      byId("cameras").append(cards.get(camera.name).node);
    }
    byId("own").open = cards.size < 2;
    arrange();
  }
  for (const camera of view.cameras) {
    const card = cards.get(camera.name), own = ours(camera);
    weights.set(camera.name, card.weight(camera, own));
    if (!card.node.hidden) card.update(camera, view, own);
  }
  const worst = [...weights].sort((one, other) => other[1] - one[1]).map(([name]) => name);
  for (const [name, card] of cards) card.node.style.order = narrow.matches ? worst.indexOf(name) : 0;
  showSystem(view);
}

// Addresses on the page are relative to where it is. Behind a proxy that may be /line1, which as the
// address of a folder is /line1/.
if (!location.pathname.endsWith("/"))
  history.replaceState(null, "", `${location.pathname}/${location.search}${location.hash}`);

const PERIOD_MS = 1000, ANSWER_MS = 4000;
let heard = null, timer = null;
async function update() {
  clearTimeout(timer);
  let pause_ms = PERIOD_MS;
  if (!document.hidden) {
    try {
      // By the header the server knows that it must not let the browser ask for a password: that
      // would be once a second, and the picture below would stand still and look alive.
      // Nothing may be fetched from an address with a password in it, as somebody may have typed.
      const here = location.origin + location.pathname;
      const answer = await fetch(here + "api/v1/status", {cache: "no-store",
        headers: {"X-Pitwatch-Page": "1"}, signal: AbortSignal.timeout(ANSWER_MS)});
      if (answer.ok) {
        const view = await answer.json();
        show(view);
        await renew(here, view);
        heard = view.utc_ms;  // of the agent's clock, as every time here: the panel's may be wrong
        gone(null);
      } else {
        gone(await refusal(answer));
        pause_ms = Math.max(PERIOD_MS, 1000 * Number(answer.headers.get("Retry-After") || 0));
      }
    } catch {
      gone([t("no_contact"), t("silent")]);
    }
  }
  clearTimeout(timer);
  timer = setTimeout(update, pause_ms);
}
// A page that is left open for weeks is that of the agent which runs: one of another version or
// configuration, which may have another language, brings its own. Not while somebody is at a dialog,
// and only when it is certain to come: the browser's own page for "no answer" would stay for good.
let made = null;
async function renew(here, {version, config_hash}) {
  const now = `${version} ${config_hash}`;
  made ??= now;
  if (made === now || document.querySelector("dialog[open]")) return;
  const page = await fetch(here, {cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS)});
  if (page.ok) location.reload();
}
// What a refused request is told as: a short word for the state, and a sentence.
async function refusal(answer) {
  const {error} = await answer.json().catch(() => ({}));
  const why = error ? `: ${told(error)}` : "", status = answer.status;
  if (status === 401) return [t("not_signed_in"), t("wants_token", {why})];
  if (status === 403) return [t("not_allowed"), t("lets_not_look", {why})];
  if (status === 429) return [t("must_wait"), t("asked_too_often", {why})];
  if (status < 500) return [t("refused"), t("refuses", {status, why})];
  return [t("no_contact"), t("silent_status", {status}) + why];
}
function gone(trouble) {
  byId("gone").hidden = !trouble;
  document.body.classList.toggle("gone", Boolean(trouble));
  if (!trouble) return;
  const [word, sentence] = trouble;
  say(byId("gone"), heard ? t("shown_is_old", {sentence, time: time(heard)}) : sentence + ".");
  dress(byId("state"), "bad");
  say(byId("state"), word);
  document.title = `${word} · Pitwatch`;
}

byId("large").addEventListener("close", () => { enlarged = null; });
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
document.addEventListener("keydown", (event) => {  // 1 to 9: that lane; Escape: all of them
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const card = [...cards.values()][Number(event.key) - 1];
  if (event.key === "Escape" && opened !== null) openLane(null);
  if (!card) return;
  if (cards.size > 1 && opened !== card.name) openLane(card.name);
  else card.node.focus();
});
update();
