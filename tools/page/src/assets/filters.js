// The filters above the list, their options, and the lookup of an id in the table.

import { ask, complain, say } from "./asking.js";
import { byId, ensureOption, option } from "./elements.js";
import { listenToFragment, readFragment, writeFragmentSoon } from "./fragment.js";
import { toTop, view } from "./list.js";
import { openEvent } from "./opened.js";
import { keepRows } from "./rows.js";
import { NO_FILTERS, state } from "./state.js";

const STATES = ["pending", "dead", "delivered", "ignored", "dismissed"];
const OPTIONS_SHOWN = 200;
const FILTER_INPUTS = {
  provider: "filter-provider",
  type: "filter-type",
  state: "filter-state",
  workflow: "filter-workflow",
  error: "filter-error",
  search: "search",
};

export function listenToFilters() {
  for (const [name, id] of Object.entries(FILTER_INPUTS)) {
    byId(id).addEventListener("input", () => setFilters({ [name]: byId(id).value }));
  }
  byId("search").addEventListener("keydown", (key) => {
    if (key.key === "Enter") find(byId("search").value.trim());
    if (key.key === "ArrowDown") { key.preventDefault(); byId("events").focus(); }
  });
  byId("filters-clear").onclick = () => { setFilters(NO_FILTERS); byId("search").focus(); };
  for (const tile of document.querySelectorAll("[data-show]")) {
    tile.onclick = () => setFilters({ ...NO_FILTERS, state: tile.dataset.show });
  }
  listenToFragment(() => { readFragment(openEvent); showFilters(); toTop(); });
}

function setFilters(changed) {
  Object.assign(state.filters, changed);
  showFilters();
  writeFragmentSoon();
  toTop();
}

function showFilters() {
  for (const [name, id] of Object.entries(FILTER_INPUTS)) {
    const value = state.filters[name];
    const input = byId(id);
    if (input.tagName === "SELECT") ensureOption(input, value);
    if (input.value !== value) input.value = value;
    input.classList.toggle("set", value !== "");
  }
  byId("filters-clear").disabled = !isFiltered();
}

function isFiltered() {
  return Object.values(state.filters).some((value) => value !== "");
}

export function fillChoices() {
  fillOptions(byId("filter-state"), "any state", STATES);
  drawOptions();
  showFilters();
}

// The options are the values of the listed events and of the routes.
export function drawOptions() {
  view.optionsOld = false;
  const providers = new Set(state.hello?.providers);
  const workflows = new Set(state.hello?.routes.map((route) => route.to));
  const errors = new Set();
  for (const row of state.newestFirst) {
    providers.add(row.provider);
    if (row.code) errors.add(row.code);
    for (const { to } of row.deliveries) if (to) workflows.add(to);
  }
  fillOptions(byId("filter-provider"), "any provider", [...providers].sort());
  fillOptions(byId("filter-workflow"), "any workflow", [...workflows].filter(Boolean).sort());
  fillOptions(byId("filter-error"), "any error", [...errors].sort());
}

function fillOptions(select, any, values) {
  // The options of an open select must not change.
  if (select.options.length && select === document.activeElement) return;
  const kept = values.slice(0, OPTIONS_SHOWN);
  if (select.value && !kept.includes(select.value)) kept.push(select.value);
  const before = Array.from(select.options, (option) => option.value);
  if (before.length === kept.length + 1 && kept.every((value, index) => value === before[index + 1])) return;
  const chosen = select.value;
  select.replaceChildren(option("", any), ...kept.map((value) => option(value)));
  select.value = chosen;
}

async function find(id) {
  if (id === "") return;
  try {
    const { rows } = await ask("api/find?" + new URLSearchParams({ id }));
    if (rows.length === 0) return say(`No event with the id ${id}.`, "problem");
    keepRows(rows);
    openEvent(rows[0].pk, { focus: true });
    say(rows.length > 1 ? `${rows.length} providers have an event with this id: the first is opened.` : "");
  } catch (problem) {
    complain(problem);
  }
}
