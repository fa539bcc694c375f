// The rows of the page: at most the cap, newest first, and the ones that match the filters.

import { state } from "./state.js";

const listeners = [];

// The listener is called with the received rows.
export function listenToRows(listener) {
  listeners.push(listener);
}

export function keepRows(rows) {
  const added = [];
  let moved = false;
  for (const told of rows) {
    let row = state.rows.get(told.pk);
    if (row && row.received !== told.received) {
      forget(row);
      moved = true;
      row = undefined;
    }
    if (row) {
      state.rows.delete(told.pk); // inserted again as the last changed
      update(row, told);
    } else {
      row = keep(told);
      added.push(row);
    }
    state.rows.set(row.pk, row);
  }
  const dropped = dropRows();
  if (dropped || moved) state.newestFirst = state.newestFirst.filter((row) => !row.gone);
  if (added.length) {
    const alive = dropped ? added.filter((row) => !row.gone) : added;
    state.newestFirst = alive.concat(state.newestFirst).sort(newestFirst);
  }
  for (const listener of listeners) listener(rows);
}

// All rows have the same members in the same order: iterating over 10,000 of them is then fast.
function keep(told) {
  const cut = told.pk.indexOf("#");
  const row = {
    pk: told.pk,
    provider: cut < 0 ? "" : told.pk.slice(0, cut),
    id: told.pk.slice(cut + 1),
    searched: told.pk.toLowerCase(),
    typed: "",
    received: told.received,
    type: null, state: "", attempts: 0, next: null, inHand: false, error: null, code: "", ack: null, deliveries: [],
    version: 0,
    gone: false,
  };
  update(row, told);
  return row;
}

function update(row, told) {
  row.type = told.type;
  row.typed = (told.type ?? "").toLowerCase();
  row.state = told.state;
  row.attempts = told.attempts;
  row.next = told.next;
  row.inHand = told.inHand;
  row.error = told.error;
  row.code = told.error ? told.error.split(" ", 1)[0] : "";
  row.ack = told.ack;
  row.deliveries = told.deliveries;
  row.version += 1;
}

function forget(row) {
  row.gone = true;
  state.rows.delete(row.pk);
}

// Above the cap, settled events are removed first, the longest unchanged one first; then the others.
function dropRows() {
  let over = state.rows.size - (state.hello?.cap ?? 10_000);
  if (over <= 0) return false;
  for (const row of state.rows.values()) {
    if (row.state === "pending" || row.state === "dead") continue;
    forget(row);
    if (--over === 0) return true;
  }
  for (const row of state.rows.values()) {
    forget(row);
    if (--over === 0) return true;
  }
  return true;
}

function newestFirst(one, other) {
  return other.received - one.received || (one.pk < other.pk ? -1 : one.pk > other.pk ? 1 : 0);
}

// The index of a row among the shown ones, or where it would be inserted.
export function placeOf(row) {
  let low = 0;
  let high = state.shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (newestFirst(state.shown[middle], row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function filterRows() {
  const { provider, state: wanted, workflow, error } = state.filters;
  const type = typeTest(state.filters.type.trim().toLowerCase());
  const search = state.filters.search.trim().toLowerCase();
  const shown = [];
  let held = 0;
  for (const row of state.newestFirst) {
    if (provider && row.provider !== provider) continue;
    if (wanted && row.state !== wanted) continue;
    if (error && row.code !== error) continue;
    if (search && !row.searched.includes(search)) continue;
    if (type && !type(row.typed)) continue;
    if (workflow && !row.deliveries.some((delivery) => delivery.to === workflow)) continue;
    if (state.heldFrom && newestFirst(row, state.heldFrom) < 0) held += 1;
    else shown.push(row);
  }
  state.shown = shown;
  state.held = held;
}

function typeTest(sought) {
  if (sought === "") return null;
  if (!sought.endsWith("*")) return (type) => type.includes(sought);
  const prefix = sought.slice(0, -1);
  return (type) => type.startsWith(prefix);
}
