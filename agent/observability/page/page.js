
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

function showState(view, active) {
  const node = byId("state");
  const late = view.cameras.filter((c) => c.state !== "live");
  if (active.length) {
    dress(node, active[0].priority === "high" ? "bad" : "warn");
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
    set(card.frame.node, "aria-label", `${card.frame.name}, ${grid ? "open the lane" : "enlarge"}`);
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
        show(await answer.json());
        heard = new Date();
        gone(null);
      } else {
        gone(await refusal(answer));
        pause_ms = Math.max(PERIOD_MS, 1000 * Number(answer.headers.get("Retry-After") || 0));
      }
    } catch {
      gone(["No contact", "The agent does not answer"]);
    }
  }
  clearTimeout(timer);
  timer = setTimeout(update, pause_ms);
}
// What a refused request is told as: a short word for the state, and a sentence.
async function refusal(answer) {
  const {error} = await answer.json().catch(() => ({}));
  const why = error ? `: ${error}` : "";
  if (answer.status === 401) return ["Not signed in", `The agent wants a token${why}. Reload to sign in`];
  if (answer.status === 403) return ["Not allowed", `The agent does not let this device look${why}`];
  if (answer.status === 429) return ["Must wait", `The agent is asked too often from this address${why}`];
  if (answer.status < 500) return ["Refused", `The agent refuses (${answer.status})${why}`];
  return ["No contact", `The agent does not answer (${answer.status})${why}`];
}
function gone(trouble) {
  byId("gone").hidden = !trouble;
  document.body.classList.toggle("gone", Boolean(trouble));
  if (!trouble) return;
  const [word, sentence] = trouble;
  say(byId("gone"), sentence + (heard ? ` (since ${time(heard)}): what is shown below is old.` : "."));
  dress(byId("state"), "bad");
  say(byId("state"), word);
  document.title = `${word} · Pitwatch`;
}

byId("large").addEventListener("close", () => { enlarged = null; });
document.addEventListener("visibilitychange", () => { if (!document.hidden) update(); });
document.addEventListener("keydown", (event) => {  // 1 to 9: that lane; Escape: all of them
  if (event.ctrlKey || event.altKey || event.metaKey || byId("large").open) return;
  const card = [...cards.values()][Number(event.key) - 1];
  if (event.key === "Escape" && opened !== null) openLane(null);
  if (!card) return;
  if (cards.size > 1 && opened !== card.name) openLane(card.name);
  else card.node.focus();
});
update();
