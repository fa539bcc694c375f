// The filters and the opened event are in the fragment of the URL: a reload keeps them, and the server never gets them. `alarm=`
// opens the paragraph of an alarm.

import { showAlarm } from "./alarms.js";
import { NO_FILTERS, state } from "./state.js";

let writing = null;

export function listenToFragment(changed) {
  addEventListener("pagehide", () => { if (writing) writeFragment(); });
  addEventListener("hashchange", changed);
}

export function readFragment(open) {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(NO_FILTERS)) state.filters[name] = said.get(name) ?? "";
  if (said.has("alarm")) queueMicrotask(() => showAlarm(said.get("alarm")));
  const pk = said.get("event");
  if (pk && state.opened?.pk !== pk) queueMicrotask(() => open(pk, { focus: false }));
}

// Not on each key press: it is slow, and browsers limit its rate.
export function writeFragmentSoon() {
  writing ??= setTimeout(writeFragment, 200);
}

function writeFragment() {
  clearTimeout(writing);
  writing = null;
  const kept = Object.entries(state.filters).filter(([, value]) => value !== "");
  if (state.opened) kept.push(["event", state.opened.pk]);
  const fragment = new URLSearchParams(kept).toString();
  history.replaceState(null, "", location.pathname + location.search + (fragment && `#${fragment}`));
}
