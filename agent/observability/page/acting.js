
// What an operator does here, where the agent lets him. The token is kept in this page's memory alone,
// and for minutes: a panel is shared.
const FORGET_MS = 600000, ACT_MS = 8000, DONE_MS = 8000;
const SHELVE_S = [900, 1800, 3600, 7200, 14400, 28800];
const acting = {token: null, used: 0, view: null, told: 0, busy: false, unanswered: null, about: null};

// A button that opens the dialog about what ``about`` returns: an alarm, or a lane.
function actButton(text, kind, about) {
  const button = make("button", {class: kind, type: "button"}, text);
  button.addEventListener("click", () => openActing(about()));
  return button;
}
function field(text, input) { return make("label", {}, make("span", {}, text), input); }
const actingNodes = {
  head: make("h2", {id: "acting-head"}),
  what: make("p", {}),
  said: make("p", {role: "alert", class: "said"}),
  name: make("input", {id: "acting-name", maxlength: 60, autocomplete: "off", spellcheck: "false"}),
  token: make("input", {id: "acting-token", type: "password", maxlength: 200, autocomplete: "off"}),
  forget: make("button", {type: "button"}, t("forget_token")),
  comment: make("input", {id: "acting-comment", maxlength: 200, autocomplete: "off"}),
  time: make("select", {id: "acting-time"}),
  close: make("button", {type: "button"}, t("close")),
};
const commandButtons = new Map([["ack", t("do_ack")], ["shelve", t("do_shelve")],
  ["unshelve", t("do_unshelve")], ["comment", t("do_comment")], ["explain", t("do_explain")]]
  .map(([command, text]) => [command, make("button", {type: "button", class: "do"}, text)]));
const actingRows = {
  who: make("div", {class: "who"}, field(t("your_name"), actingNodes.name)),
  token: field(t("acting_token"), actingNodes.token),
  ack: make("div", {}, commandButtons.get("ack")),
  shelve: make("div", {}, field(t("for_how_long"), actingNodes.time), commandButtons.get("shelve")),
  unshelve: make("div", {}, commandButtons.get("unshelve")),
  comment: make("div", {}, field(t("comment"), actingNodes.comment), commandButtons.get("comment")),
  explain: make("div", {}, commandButtons.get("explain")),
};
actingRows.who.append(actingRows.token, actingNodes.forget);
const actingDialog = make("dialog", {id: "acting", "aria-labelledby": "acting-head"}, actingNodes.head,
  actingNodes.what, actingNodes.said, make("form", {}, ...Object.values(actingRows)), actingNodes.close);
const actingDone = make("p", {id: "did", role: "status"});
document.body.append(actingDialog);
byId("gone").after(actingDone);
actingDone.hidden = true;

for (const [command, button] of commandButtons) button.addEventListener("click", () => act(command));
actingNodes.close.addEventListener("click", () => actingDialog.close());
actingNodes.forget.addEventListener("click", () => { forgetWho(); actingNodes.name.focus(); });
actingDialog.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
// Digits and Escape are the dialog's while it is open, not the page's.
actingDialog.addEventListener("keydown", (event) => event.stopPropagation());
actingDialog.addEventListener("close", () => {
  actingNodes.token.value = "";
  const opener = acting.about?.opener;
  if (opener?.isConnected) opener.focus();
});

function forgetToken() {
  acting.token = null;
  actingNodes.token.value = "";
  showToken();
}
function forgetWho() {
  forgetToken();
  actingNodes.name.value = "";  // the next one is somebody else
}
function showToken() {
  actingRows.token.hidden = acting.token !== null;
  actingNodes.forget.hidden = acting.token === null;
}
// Called with each status: which buttons there are follows the agent.
function updateActing(view) {
  acting.view = view;
  acting.told = performance.now();
  const may = view.actions || [];
  document.body.classList.toggle("acts", may.some((name) => name !== "explain"));
  document.body.classList.toggle("explains", may.includes("explain"));
}
const agentNow = () => Math.round(acting.view.utc_ms + performance.now() - acting.told);

function openActing(about) {
  const {alarm, camera} = about, may = acting.view.actions || [];
  acting.about = {...about, opener: document.activeElement};
  if (acting.token !== null && performance.now() - acting.used > FORGET_MS) forgetWho();
  say(actingNodes.head, alarm ? `${alarm.title}, ${alarm.camera_id}` : t("explain_of", {name: camera}));
  say(actingNodes.what, alarm ? alarm.message : t("explain_what"));
  sayActing("");
  const fits = alarm ? {ack: !alarm.acked && alarm.event_id, comment: alarm.event_id,
    shelve: alarm.state !== OUT, unshelve: alarm.shelved, explain: false} : {explain: true};
  for (const [command] of commandButtons)
    actingRows[command].hidden = !fits[command] || !may.includes(command);
  const longest = known(acting.view.shelve_max_s) ? acting.view.shelve_max_s : SHELVE_S[0];
  const times = SHELVE_S.filter((s) => s <= longest);
  actingNodes.time.replaceChildren(...(times.length ? times : [longest])
    .map((s) => make("option", {value: s}, age(s))));
  actingNodes.comment.value = alarm ? alarm.comment : "";
  showToken();
  if (!actingDialog.open) actingDialog.showModal();
  const first = !actingNodes.name.value ? actingNodes.name : acting.token === null ? actingNodes.token
    : [...commandButtons.values()].find((button) => !button.parentNode.hidden) || actingNodes.close;
  first.focus();
}
function sayActing(text) { say(actingNodes.said, text); actingNodes.said.hidden = !text; }

function bodyOf(command) {
  const {alarm, camera} = acting.about;
  if (command === "explain") return {camera};
  const of = {alarm_id: alarm.alarm_id, ...(alarm.event_id ? {event_id: alarm.event_id} : {})};
  if (command === "shelve") return {...of, duration_s: Number(actingNodes.time.value)};
  return command === "comment" ? {...of, text: actingNodes.comment.value.trim()} : of;
}
// What was not answered may have been carried out: the same again has the same id, and is done once.
function idOf(key) {
  if (acting.unanswered?.key === key) return acting.unanswered.id;
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return "page-" + [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
// A header holds bytes: those of the token in UTF-8, as they stand in the agent's file.
const headerBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));

async function act(command) {
  if (acting.busy) return;
  const user = actingNodes.name.value.trim(), typed = actingNodes.token.value.trim();
  if (!user) { sayActing(t("name_wanted")); actingNodes.name.focus(); return; }
  const token = typed || acting.token;
  if (!token) { sayActing(t("token_wanted")); actingNodes.token.focus(); return; }
  const body = bodyOf(command), key = JSON.stringify([command, user, body]), id = idOf(key);
  const button = commandButtons.get(command);
  acting.busy = true;
  actingDialog.setAttribute("aria-busy", "true");
  sayActing(t("acting_now"));
  const answer = await postAction(command, token, {command_id: id, issued_ms: agentNow(), user, ...body});
  acting.busy = false;
  actingDialog.removeAttribute("aria-busy");
  acting.unanswered = answer.status === 0 || answer.status >= 500 ? {key, id} : null;
  if (answer.status !== 401) { acting.token = token; acting.used = performance.now(); }
  if (answer.status === 200) {
    actingDialog.close();
    tellDone(t("done", {what: button.textContent, of: actingNodes.head.textContent}));
    update();
    return;
  }
  sayActing(whyNot(answer));
  if (answer.status === 401) { forgetToken(); actingNodes.token.focus(); } else showToken();
}
async function postAction(command, token, body) {
  try {
    const answer = await fetch(`${location.origin}${location.pathname}api/v1/actions/${command}`, {
      method: "POST", cache: "no-store", signal: AbortSignal.timeout(ACT_MS), body: JSON.stringify(body),
      headers: {"Content-Type": "application/json", "X-Pitwatch-Page": "1",
        "X-Pitwatch-Action": headerBytes(token)}});
    const {outcome = "", detail = "", error = ""} = await answer.json().catch(() => ({}));
    return {status: answer.status, outcome, detail: detail || error, wait: answer.headers.get("Retry-After")};
  } catch {
    return {status: 0, outcome: "", detail: "", wait: null};
  }
}
function whyNot({status, outcome, detail, wait}) {
  const why = detail ? ` (${told(detail)})` : "";
  if (status === 0 || status >= 500) return t("act_unanswered") + why;
  if (status === 401) return t("act_401") + why;
  if (status === 403) return t("act_403") + why;
  if (status === 429) return t("act_429", {wait: wait || 1}) + why;
  if (status === 404) return t("act_404") + why;
  if (outcome === "already") return t("act_already") + why;
  if (outcome === "stale") return t("act_stale") + why;
  if (status === 409) return t("act_409") + why;
  return t("act_refused", {status}) + why;
}
let doneTimer = null;
function tellDone(text) {
  say(actingDone, text);
  actingDone.hidden = false;
  clearTimeout(doneTimer);
  doneTimer = setTimeout(() => { actingDone.hidden = true; say(actingDone, ""); }, DONE_MS);
}
