// The page of `bridge dev` and `bridge console`: live events, and the actions on those that are stuck.
//
// This module starts it and reads the stream of the server. Data of events becomes text, never markup.

import { listenToAlarms } from "./alarms.js";
import { say, token } from "./asking.js";
import { listenToPlayground, loadSamples, takePlayground } from "./playground.js";
import { byId, repeat, setCut, setText, soon } from "./elements.js";
import { drawFigures, drawOldest } from "./figures.js";
import { drawOptions, fillChoices, listenToFilters } from "./filters.js";
import { readFragment } from "./fragment.js";
import { listenToJobs, takeJob } from "./jobs.js";
import { listenToKeys } from "./keys.js";
import { drawRows, drawRowTimes, listenToList, view } from "./list.js";
import { drawOpenedTimes, listenToOpened, openEvent, refreshOpened } from "./opened.js";
import { keepRows } from "./rows.js";
import { serverNow, state } from "./state.js";
import { span } from "./words.js";
import { drawPausedTimes, drawWorkflows } from "./workflows.js";

const SILENCE_MS = 8_000; // `stats` arrive every second: after this time the connection is lost

function start() {
  readFragment(openEvent);
  fillChoices();
  listenToList();
  listenToFilters();
  listenToKeys();
  listenToAlarms();
  listenToOpened();
  listenToJobs();
  listenToPlayground();
  byId("reload").onclick = () => location.reload();
  byId("notice-close").onclick = () => say("");
  setInterval(tick, 1_000);
  listen();
}

let live = null;

function listen() {
  live?.close();
  state.lastHeard = Date.now();
  live = new EventSource("api/live?" + new URLSearchParams({ token }));
  live.onerror = lost;
  hear("hello", takeHello);
  hear("rows", takeRows);
  hear("loaded", takeLoaded);
  hear("stats", takeStats);
  hear("workflows", (workflows) => { state.workflows = workflows; soon(drawWorkflows); });
  hear("playground", takePlayground);
  hear("job", takeJob);
}

function hear(kind, take) {
  live.addEventListener(kind, (message) => {
    state.lastHeard = Date.now();
    if (state.lostSince) found();
    take(JSON.parse(message.data));
  });
}

function takeHello(hello) {
  const again = state.hello !== null;
  state.hello = hello;
  // After a reconnect the old rows stay until the new ones are complete: no flicker, and the list keeps its place.
  if (again) state.loading = [];
  found();
  fillChoices();
  soon(drawHello);
}

function takeRows(rows) {
  if (state.loading) state.loading.push(...rows);
  else keepRows(rows);
}

function takeLoaded({ more }) {
  state.more = more;
  if (state.loading) {
    const rows = state.loading;
    state.loading = null;
    state.rows.clear();
    state.newestFirst = [];
    keepRows(rows);
    if (state.cursor) state.cursor = state.rows.get(state.cursor.pk) ?? state.cursor;
  }
  // They arrive newest first; the map is in the order of removal, oldest first.
  state.rows = new Map(state.newestFirst.toReversed().map((row) => [row.pk, row]));
  state.loaded = true;
  soon(drawRows);
  soon(drawOptions);
  soon(drawLimits);
  if (state.opened) refreshOpened();
}

function takeStats(stats) {
  state.stats = stats;
  state.skew = stats.now - Date.now();
  soon(drawFigures);
  soon(drawTrouble);
}

// Why the last reading of the table failed; the known rows stay.
function drawTrouble() {
  const trouble = byId("trouble");
  trouble.hidden = !state.stats.trouble;
  setText(trouble, state.stats.trouble ?? "");
}

function lost() {
  state.lostSince ??= Date.now();
  drawConnection();
}

function found() {
  state.lostSince = null;
  drawConnection();
}

// Every second: updates the ages, and checks the connection.
function tick() {
  const silent = Date.now() - state.lastHeard;
  if (silent > SILENCE_MS) {
    lost();
    // The browser reconnects automatically, but not after an error status or when the connection is lost silently.
    if (live.readyState !== EventSource.CONNECTING) listen();
  }
  if (state.lostSince) drawConnection();
  if (view.optionsOld) soon(drawOptions);
  soon(drawTimes);
}

function drawTimes() {
  const now = serverNow();
  drawRowTimes(now);
  drawOldest(now);
  drawOpenedTimes(now);
  drawPausedTimes(now);
}

function drawConnection() {
  const element = byId("connection");
  const isLost = state.lostSince !== null;
  element.dataset.state = isLost ? "lost" : state.hello ? "live" : "connecting";
  document.body.classList.toggle("stale", isLost && state.hello !== null);
  const since = isLost ? span(Date.now() - state.lostSince) : "";
  setText(byId("connection-text"), !isLost ? (state.hello ? "live" : "connecting")
    : state.hello ? `connection lost ${since} ago: the list may be out of date` : `no connection for ${since}`);
  byId("reload").hidden = !isLost || Date.now() - state.lostSince < 5_000;
}

function drawHello() {
  const { mode, name, redrive } = state.hello;
  setCut(byId("name"), name);
  document.body.dataset.mode = mode;
  byId("playground").hidden = mode !== "dev";
  if (mode === "dev" && !state.sample) loadSamples();
  byId("redrive-shown").title = redrive ?? "Redrives the listed events that are neither delivered nor dismissed, after a confirmation. To redrive dismissed events, set the filter by state to dismissed";
  drawLimits();
  soon(drawRows);
}

function drawLimits() {
  const { limits, redrive } = state.hello;
  const sentences = [...limits];
  if (state.more) sentences.unshift("The table has more pending or dead events than are listed here.");
  if (redrive) sentences.push(redrive);
  byId("limits").hidden = sentences.length === 0;
  setText(byId("limits").querySelector("summary"), "What is not listed here" + (state.more ? " (there is more)" : ""));
  repeat(byId("limits").querySelector("ul"), "sentence", sentences, setText);
}

start();
