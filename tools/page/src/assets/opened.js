// The opened event: its facts, timeline, messages and body, followed as they change.

import { ask, inWords, say } from "./asking.js";
import { byId, repeat, setCut, setState, setText, setTime, soon } from "./elements.js";
import { writeFragmentSoon } from "./fragment.js";
import { drawList } from "./list.js";
import { plan } from "./jobs.js";
import { listenToRows } from "./rows.js";
import { serverNow, state } from "./state.js";
import { counted, milliseconds, number, shortSpan, timeWords, untilNext } from "./words.js";

export function listenToOpened() {
  byId("opened-close").onclick = closeOpened;
  byId("opened").addEventListener("click", (click) => {
    const button = click.target.closest("button.copy");
    if (!button) return;
    copyText(button.dataset.copies ? byId(button.dataset.copies) : button.parentElement.querySelector("pre"));
  });
  for (const action of ["redrive", "dismiss"]) {
    const button = byId(`${action}-one`);
    button.onclick = () => plan(action, button, [state.opened.pk]);
  }
  matchMedia("(max-width: 719px)").addEventListener("change", keepBehindOut);
  listenToRows((rows) => { if (rows.some(({ pk }) => pk === state.opened?.pk)) refreshOpenedSoon(); });
}

export function openEvent(pk, { focus }) {
  if (state.opened?.pk !== pk) {
    if (!state.opened) state.openedFrom = document.activeElement;
    state.opened = { pk, event: null, problem: null, asking: false, changed: false };
    drawOpenedHead();
    byId("opened-content").hidden = true;
    byId("opened-problem").hidden = true;
    byId("opened-scroll").scrollTop = 0;
    refreshOpened();
    writeFragmentSoon();
    soon(drawList);
  }
  byId("opened").hidden = false;
  document.body.classList.add("opens");
  keepBehindOut();
  if (focus) byId("opened-scroll").focus({ preventScroll: true });
}

export function closeOpened() {
  if (!state.opened) return;
  const hadFocus = byId("opened").contains(document.activeElement) || document.activeElement === document.body;
  state.opened = null;
  byId("opened").hidden = true;
  document.body.classList.remove("opens");
  keepBehindOut();
  writeFragmentSoon();
  soon(drawList);
  if (!hadFocus) return;
  const from = state.openedFrom;
  (from?.isConnected && from !== document.body ? from : byId("events")).focus({ preventScroll: true });
}

// When the opened event fills the screen, Tab must not reach what is behind it.
function keepBehindOut() {
  const covered = state.opened !== null && isNarrow();
  for (const part of document.querySelectorAll(".top, .tiles, .list, .side")) part.inert = covered;
}

export function isNarrow() {
  return matchMedia("(max-width: 719px)").matches;
}

let refreshing = null;

// Several changes in a short time cause one request.
function refreshOpenedSoon() {
  refreshing ??= setTimeout(refreshOpened, 250);
}

export async function refreshOpened() {
  clearTimeout(refreshing);
  refreshing = null;
  const { opened } = state;
  if (!opened) return;
  // One request at a time: otherwise an event that changes all the time is never shown.
  if (opened.asking) {
    opened.changed = true;
    return;
  }
  opened.asking = true;
  opened.changed = false;
  try {
    opened.event = await ask("api/event?" + new URLSearchParams({ pk: opened.pk }));
    opened.problem = null;
  } catch (problem) {
    opened.problem = problem;
  }
  opened.asking = false;
  if (state.opened !== opened) return;
  soon(drawOpened);
  if (opened.changed) refreshOpenedSoon();
}

function drawOpenedHead() {
  const { pk, event } = state.opened;
  const row = event?.row ?? state.rows.get(pk);
  setCut(byId("opened-id"), pk);
  setState(byId("opened-state"), row?.state ?? "", row ? row.state : "…");
}

// Existing nodes are reused and only differences are written: scroll position, focus and selection survive.
function drawOpened() {
  if (!state.opened) return;
  const { event, problem } = state.opened;
  drawOpenedHead();
  byId("opened-problem").hidden = problem === null;
  if (problem) setText(byId("opened-problem"), inWords(problem));
  byId("opened-content").hidden = event === null;
  if (event === null) return;
  const { row } = event;

  setCut(byId("opened-type"), row.type ?? "no type");
  setCut(byId("opened-customer"), event.customer ?? "not known");
  byId("opened-customer").classList.toggle("unknown", event.customer === null);
  setTime(byId("opened-occurred"), event.occurred);
  setTime(byId("opened-received"), row.received);
  setTime(byId("opened-delivered"), event.deliveredAt);
  setText(byId("opened-ack"), row.ack === null ? "not in the table" : `${milliseconds(row.ack)} ms`);
  setText(byId("opened-attempts"), row.error ? `${row.attempts}, the last: ${row.error}` : `${row.attempts}`);
  setText(byId("opened-kept"), event.kept);
  setText(byId("opened-meaning"), event.meaning ?? "");
  const done = row.state === "delivered" ? "Already delivered: nothing to redrive" : "";
  const refusal = state.hello?.redrive ?? done;
  byId("redrive-one").disabled = refusal !== "";
  byId("redrive-one").title = refusal;
  byId("dismiss-one").disabled = row.state !== "dead";
  byId("dismiss-one").title = row.state === "dead" ? "Closes it: nothing more is sent" : "Only dead events are dismissed";

  repeat(byId("timeline"), "moment", event.timeline, fillMoment);
  repeat(byId("messages"), "message", event.messages, fillMessage);
  byId("no-messages").hidden = event.messages.length > 0;
  const silent = byId("silent");
  silent.hidden = event.silent.length === 0;
  setText(silent.querySelector("summary"), counted(event.silent.length, "route does not match: why", "routes do not match: why"));
  repeat(silent.querySelector("ul"), "silent-route", event.silent, (node, { route, why }) => {
    setText(node.querySelector(".route"), route);
    setText(node.querySelector(".why"), why);
  });
  setText(byId("body"), event.body);
  setText(byId("body-size"), `${number(event.bodyBytes)} bytes as received`);
  setText(byId("body-digest"), `SHA-256 ${event.bodySha256}`);
  drawOpenedTimes(serverNow());
}

function fillMoment(node, moment) {
  node.dataset.kind = moment.kind;
  node.dataset.ok = moment.ok ?? "";
  const time = node.querySelector("time");
  setText(time, timeWords(moment.at).slice(11, 23));
  time.title = timeWords(moment.at);
  setText(node.querySelector(".said"), moment.what);
}

function fillMessage(node, message) {
  node.dataset.route = message.route;
  setText(node.querySelector(".route"), message.route);
  setText(node.querySelector(".to"), message.to ? `→ ${message.to}` : "→ a removed route");
  setState(node.querySelector(".state"), message.state, message.state);
  const sent = message.state === "delivered";
  const outcome = [sent ? "As it was sent" : message.message === null ? "" : "As it would be sent now",
    message.at === null ? "" : `${sent ? "at" : "last tried at"} ${timeWords(message.at)}`].filter(Boolean).join(", ");
  setText(node.querySelector(".outcome"), [outcome, message.code].filter(Boolean).join("; last error "));
  repeat(node.querySelector(".notes"), "sentence", message.notes, setText);
  const problem = node.querySelector(".problem");
  problem.hidden = message.problem === null;
  setText(problem, message.problem ?? "");
  const tried = node.querySelector(".tried");
  tried.hidden = message.customer.length === 0;
  repeat(tried.querySelector("ol"), "sentence", message.customer, setText);
  node.querySelector(".text").hidden = message.message === null;
  const pre = node.querySelector("pre");
  pre.setAttribute("aria-label", `Message of ${message.route}`);
  setText(pre, message.message ?? "");
}

export function drawOpenedTimes(now) {
  const event = state.opened?.event;
  if (!event) return;
  const nodes = byId("timeline").children;
  event.timeline.forEach((moment, index) => {
    const since = nodes[index]?.querySelector(".since");
    if (!since) return;
    const passed = `+${shortSpan(moment.at - event.row.received)}`;
    setText(since, moment.kind === "next" ? untilNext(event.row, now) : passed);
  });
}

async function copyText(node) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(node);
    say("The browser does not let the page copy. The text is selected: copy it with the keyboard.", "problem");
  }
}
