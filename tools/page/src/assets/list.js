// The list: only visible rows are in the document, and they keep their place when others change.

import { askCustomersSoon, fillCustomer } from "./customers.js";
import { byId, copy, element, setCut, setText, soon } from "./elements.js";
import { drawActions } from "./jobs.js";
import { filterRows, listenToRows, placeOf } from "./rows.js";
import { serverNow, state } from "./state.js";
import { age, counted, milliseconds, number, untilNext } from "./words.js";

const OVERSCAN = 6; // rows in the document above and below the visible ones

export const view = { rowHeight: 30, height: 0, pool: [], optionsOld: false };

export function listenToList() {
  const events = byId("events");
  events.addEventListener("scroll", () => soon(drawScrolled), { passive: true });
  new ResizeObserver(measure).observe(events);
  events.addEventListener("blur", () => { if (atTop()) release(); });
  byId("newer").onclick = () => { toTop(); events.focus({ preventScroll: true }); };
  listenToRows(() => soon(drawRows));
}

function measure() {
  const events = byId("events");
  const anchor = anchorRow() && (cursorAnchor() ?? anchorRow());
  const style = getComputedStyle(events);
  view.rowHeight = parseFloat(style.getPropertyValue("--row"));
  view.height = events.clientHeight - parseFloat(style.getPropertyValue("--head"));
  soon(() => {
    drawRows(anchor);
    // The height of rows depends on the width: the opened row stays visible.
    if (!anchor && state.cursor) showRow(placeOf(state.cursor));
  });
}

export function drawRows(anchor = anchorRow()) {
  filterRows();
  byId("canvas").style.height = `${state.shown.length * view.rowHeight}px`;
  byId("events").setAttribute("aria-rowcount", state.shown.length + 1);
  if (anchor) {
    // The visible rows keep their place when rows above them appear or go.
    const top = placeOf(anchor.row) * view.rowHeight - anchor.offset;
    if (Math.abs(top - byId("events").scrollTop) >= 1) byId("events").scrollTop = top;
  }
  drawShown();
  drawEmpty();
  drawList();
  view.optionsOld = true;
}

function drawScrolled() {
  if (atTop()) release();
  else hold();
  drawList();
}

export function drawList() {
  const { rowHeight, height, pool } = view;
  const scrolled = byId("events").scrollTop;
  const first = Math.max(0, Math.floor(scrolled / rowHeight) - OVERSCAN);
  const last = Math.min(state.shown.length, Math.ceil((scrolled + height) / rowHeight) + OVERSCAN);
  while (pool.length < last - first) pool.push(newSlot());
  const now = serverNow();
  for (const slot of pool) slot.used = false;
  for (let index = first; index < last; index++) {
    const slot = pool[index % pool.length];
    slot.used = true;
    placeRow(slot, state.shown[index], index, now);
  }
  for (const slot of pool) if (!slot.used) hideSlot(slot);
  const active = state.cursor && pool.find((slot) => slot.used && slot.row === state.cursor);
  if (active) byId("events").setAttribute("aria-activedescendant", active.node.id);
  else byId("events").removeAttribute("aria-activedescendant");
  askCustomersSoon(pool);
}

function newSlot() {
  const node = copy("row");
  const cell = (column) => node.querySelector(`[data-col=${column}]`);
  node.id = `row-${view.pool.length}`;
  byId("canvas").append(node);
  return {
    node, row: null, version: -1, index: -1, rowHeight: 0, used: false, chips: [],
    state: cell("state"), provider: cell("provider"), type: cell("type"), customer: cell("customer"), id: cell("id"),
    ack: cell("ack"), deliveries: cell("deliveries"), attempts: cell("attempts"), error: cell("error"), next: cell("next"),
    age: cell("age"),
  };
}

function hideSlot(slot) {
  if (slot.index === -1) return;
  slot.index = -1;
  slot.row = null;
  slot.version = -1;
  slot.node.hidden = true;
  slot.node.removeAttribute("data-pk");
}

function placeRow(slot, row, index, now) {
  if (slot.index !== index || slot.rowHeight !== view.rowHeight) {
    slot.index = index;
    slot.rowHeight = view.rowHeight;
    slot.node.hidden = false;
    slot.node.style.top = `${index * view.rowHeight}px`;
    slot.node.setAttribute("aria-rowindex", index + 2);
  }
  if (slot.row !== row || slot.version !== row.version) fillRow(slot, row);
  slot.node.classList.toggle("cursor", state.cursor === row);
  slot.node.setAttribute("aria-selected", state.opened?.pk === row.pk);
  fillTimes(slot, now);
  fillCustomer(slot);
}

function fillRow(slot, row) {
  slot.row = row;
  slot.version = row.version;
  const { node } = slot;
  if (node.dataset.pk !== row.pk) node.dataset.pk = row.pk;
  node.dataset.state = row.state;
  slot.state.dataset.state = row.state;
  setText(slot.state.lastElementChild, row.state);
  setText(slot.provider, row.provider);
  setCut(slot.type, row.type ?? "no type");
  setCut(slot.id, row.id);
  setText(slot.ack, row.ack === null ? "" : `${milliseconds(row.ack)} ms`);
  setText(slot.attempts, row.attempts > 1 ? `${row.attempts}×` : "");
  slot.attempts.title = counted(row.attempts, "attempt");
  setCut(slot.error, row.error ?? "");
  fillDeliveries(slot, row.deliveries);
}

function fillDeliveries(slot, deliveries) {
  while (slot.chips.length < deliveries.length) {
    const chip = copy("delivery");
    slot.chips.push(chip);
    slot.deliveries.append(chip);
  }
  slot.chips.forEach((chip, index) => {
    const delivery = deliveries[index];
    chip.hidden = delivery === undefined;
    if (!delivery) return;
    chip.dataset.state = delivery.state;
    setText(chip.lastElementChild, delivery.to ?? delivery.route);
    const words = [`${delivery.route}: ${delivery.state}`, delivery.code].filter(Boolean).join(", ");
    if (chip.title !== words) {
      chip.title = words;
      chip.setAttribute("aria-label", words);
    }
  });
}

function fillTimes(slot, now) {
  const { row } = slot;
  setText(slot.next, row.state === "pending" ? untilNext(row, now) : "");
  setText(slot.age, age(now - row.received));
}

export function drawRowTimes(now) {
  for (const slot of view.pool) if (slot.used) fillTimes(slot, now);
}

function drawShown() {
  const all = state.rows.size;
  const shown = state.shown.length + state.held;
  setText(byId("shown"), shown === all ? counted(all, "event") : `${number(shown)} of ${counted(all, "event")}`);
  byId("newer").hidden = state.held === 0;
  setText(byId("newer"), `${counted(state.held, "new event")} ↑`);
  drawActions();
}

function drawEmpty() {
  const empty = byId("empty");
  empty.hidden = state.shown.length > 0;
  if (!empty.hidden) {
    const [title, advice] = emptyWords();
    empty.replaceChildren(element("strong", {}, title), element("p", {}, ...advice));
  }
}

function emptyWords() {
  if (!state.loaded) return ["", ["Reading the table ..."]];
  if (state.rows.size > 0) {
    return ["None of the listed events matches the filters.",
      ["Clear them, or look up an id in the table: type it above and press Enter."]];
  }
  if (state.hello.mode === "console") {
    return ["Nothing is pending or dead.",
      ["Events that wait or fail appear here. To find any other event, type its id above and press Enter."]];
  }
  return ["No events yet.",
    ["Send one: choose a sample and press Send, or in a shell ",
      element("code", {}, "cargo run -- send rail events/rail/account_open.json --fresh")]];
}

// Newer rows are held back while the list is scrolled away from the top.
export function hold() {
  if (state.heldFrom === null && state.shown.length) state.heldFrom = state.shown[0];
}

export function release() {
  if (state.heldFrom === null) return;
  state.heldFrom = null;
  if (state.held) soon(drawRowsFromTop);
}

function drawRowsFromTop() {
  drawRows(null);
}

export function toTop() {
  state.heldFrom = null;
  byId("events").scrollTop = 0;
  soon(drawRowsFromTop);
}

function atTop() {
  return byId("events").scrollTop < view.rowHeight / 2;
}

function anchorRow() {
  if (atTop()) return null;
  const scrolled = byId("events").scrollTop;
  const index = Math.min(Math.floor(scrolled / view.rowHeight), state.shown.length - 1);
  return index < 0 ? null : { row: state.shown[index], offset: index * view.rowHeight - scrolled };
}

// The row of the cursor, if visible: it keeps its place when the layout changes.
function cursorAnchor() {
  if (!state.cursor) return null;
  const offset = placeOf(state.cursor) * view.rowHeight - byId("events").scrollTop;
  return offset >= 0 && offset < view.height ? { row: state.cursor, offset } : null;
}

export function showRow(index) {
  const events = byId("events");
  const top = index * view.rowHeight;
  if (top < events.scrollTop) events.scrollTop = top;
  else if (top + view.rowHeight > events.scrollTop + view.height) events.scrollTop = top + view.rowHeight - view.height;
}
