// Keyboard and pointer input on the list.

import { byId, soon } from "./elements.js";
import { drawList, hold, release, showRow, view } from "./list.js";
import { closeOpened, isNarrow, openEvent } from "./opened.js";
import { placeOf } from "./rows.js";
import { state } from "./state.js";

export function listenToKeys() {
  listenToPresses(byId("events"));
  byId("events").addEventListener("keydown", moveByKey);
  addEventListener("keydown", (key) => {
    if (document.querySelector("dialog[open]") || key.ctrlKey || key.metaKey || key.altKey) return;
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(key.target.tagName);
    const does = {
      Escape: state.opened && (!typing || key.target.value === "") ? closeOpened : null,
      "/": typing ? null : toSearch,
      "?": typing ? null : () => byId("help").showModal(),
    }[key.key];
    if (!does) return;
    key.preventDefault();
    does();
  });
  byId("help-open").onclick = () => byId("help").showModal();
  byId("help-close").onclick = () => byId("help").close();
}

function listenToPresses(events) {
  // Rows can move between press and release: the pressed row counts.
  let pressed = null;
  events.addEventListener("pointerdown", (press) => {
    pressed = press.target.closest("[data-pk]")?.dataset.pk ?? null;
  });
  events.addEventListener("click", (click) => {
    const pk = pressed ?? click.target.closest("[data-pk]")?.dataset.pk;
    pressed = null;
    if (!pk || !getSelection().isCollapsed) return; // a text selection opens nothing
    moveCursor(state.rows.get(pk), { scroll: false });
    openEvent(pk, { focus: isNarrow() });
  });
}

function toSearch() {
  byId("search").focus();
  byId("search").select();
}

function moveByKey(key) {
  if (key.target !== byId("events") || key.ctrlKey || key.metaKey || key.altKey) return;
  const page = Math.max(1, Math.floor(view.height / view.rowHeight) - 1);
  const at = state.cursor ? placeOf(state.cursor) : 0;
  const isThere = state.cursor !== null && state.shown[at] === state.cursor;
  const to = {
    ArrowDown: isThere ? at + 1 : at, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity,
  }[key.key];
  if (to !== undefined) {
    key.preventDefault();
    const index = Math.max(0, Math.min(to, state.shown.length - 1));
    if (index === 0) release();
    else hold();
    moveCursor(state.shown[index], { scroll: true });
  } else if (key.key === "Enter" && isThere) {
    key.preventDefault();
    openEvent(state.cursor.pk, { focus: true });
  }
}

function moveCursor(row, { scroll }) {
  if (!row) return;
  state.cursor = row;
  if (scroll) showRow(placeOf(row));
  soon(drawList);
}
