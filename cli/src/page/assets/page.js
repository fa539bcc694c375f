// The page of `bridge dev` and `bridge console`: events as they cross the bridge, and the means to mend what is stuck.
//
// Top-down: start, what the server tells, the list, its filters and keys, the opened event, what changes something, the
// figures, the dev bench; words and elements last. Whatever an event says is put in as text, never as markup.

const OVERSCAN = 6;              // rows kept ready above and below those in view
const SILENCE_MS = 8_000;        // `stats` come each second: after this long the line is dead, whatever the socket says
const CUSTOMERS_KEPT = 2_000;
const CUSTOMERS_ASKED = 100;     // at once; the server takes no more
const CUSTOMERS_URL = 6_000;     // characters, since ids may be long
const UNKNOWN_CUSTOMER_MS = 30_000; // a link may come any minute
const OPTIONS_SHOWN = 200;
const NO_FILTERS = { provider: "", type: "", state: "", workflow: "", error: "", search: "" };
const STATES = ["pending", "dead", "delivered", "ignored"];
const BEHAVIOURS = new Map([
  ["fine", "answers 200 at once"],
  ["slow", "takes each message, and two seconds over its answer"],
  ["500", "fails each time: planned again"],
  ["429", "asks for patience: planned again, no sooner than it says"],
  ["401", "refuses the session: one new handshake, then planned again"],
  ["reset", "drops the connection: planned again"],
  ["garbage", "answers what cannot be read: planned again"],
]);

const token = document.querySelector("meta[name=bridge-token]").content;
const byId = (id) => document.getElementById(id);

const state = {
  hello: null,
  lastHeard: 0,
  lostSince: null,
  skew: 0,                // the server's clock less ours, ms
  stats: null,
  rows: new Map(),        // by pk, in the order of their last change: what may go first comes first
  newestFirst: [],        // the same rows, by when they were received
  shown: [],              // those that pass the filters
  heldFrom: null,         // while the reader is away from the top: rows newer than this one wait ...
  held: 0,                // ... and this is how many
  loaded: false,
  loading: null,          // after a reconnect: the rows so far, until they are complete
  more: false,
  filters: { ...NO_FILTERS },
  cursor: null,           // the row that the keyboard is on
  opened: null,           // { pk, event, problem, asking, changed }
  openedFrom: null,       // what had the focus before
  customers: new Map(),   // pk → { name, at }: name is null where nobody knows it, undefined where asking failed
  workflows: [],
  bench: null,
  plan: null,
  job: null,
  sample: null,           // { name, provider, text }
};

function start() {
  readFragment();
  fillChoices();
  listenToList();
  listenToFilters();
  listenToKeys();
  listenToOpened();
  listenToRedrive();
  listenToBench();
  byId("reload").onclick = () => location.reload();
  byId("notice-close").onclick = () => say("");
  setInterval(tick, 1_000);
  listen();
}

// What the server tells -----------------------------------------------------------------------------------------------

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
  hear("bench", takeBench);
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
  // After a reconnect the old rows stay in view until the new ones are complete: no flicker, no lost place.
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
  // They came newest first, but what may go first is to come first.
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
}

function lost() {
  state.lostSince ??= Date.now();
  drawConnection();
}

function found() {
  state.lostSince = null;
  drawConnection();
}

// Each second: what counts time, and whether the line still lives.
function tick() {
  const silent = Date.now() - state.lastHeard;
  if (silent > SILENCE_MS) {
    lost();
    // The browser reconnects by itself, but not where an answer was refused or the line has died unnoticed.
    if (live.readyState === EventSource.CLOSED || live.readyState === EventSource.OPEN) listen();
  }
  if (state.lostSince) drawConnection();
  if (view.optionsOld) soon(drawOptions);
  soon(drawTimes);
}

function drawConnection() {
  const element = byId("connection");
  const isLost = state.lostSince !== null;
  element.dataset.state = isLost ? "lost" : state.hello ? "live" : "connecting";
  document.body.classList.toggle("stale", isLost && state.hello !== null);
  const since = isLost ? span(Date.now() - state.lostSince) : "";
  setText(byId("connection-text"), !isLost ? (state.hello ? "live" : "connecting")
    : state.hello ? `lost for ${since}: what is shown may be old` : `no connection for ${since}`);
  byId("reload").hidden = !isLost || Date.now() - state.lostSince < 5_000;
}

function drawHello() {
  const { mode, name, redrive } = state.hello;
  setText(byId("name"), name);
  byId("name").title = name;
  document.body.dataset.mode = mode;
  byId("bench").hidden = mode !== "dev";
  if (mode === "dev" && !state.sample) loadSamples();
  byId("redrive-shown").title = redrive ?? "Those that are listed now and are not delivered: the number is asked first";
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

// Rows ----------------------------------------------------------------------------------------------------------------

function keepRows(rows) {
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
      state.rows.delete(told.pk); // and in again, as the one that changed last
      update(row, told);
    } else {
      row = keep(told);
      added.push(row);
    }
    state.rows.set(row.pk, row);
    if (state.opened?.pk === row.pk) refreshOpenedSoon();
  }
  const dropped = dropRows();
  if (dropped || moved) state.newestFirst = state.newestFirst.filter((row) => !row.gone);
  if (added.length) {
    const alive = dropped ? added.filter((row) => !row.gone) : added;
    state.newestFirst = alive.concat(state.newestFirst).sort(newestFirst);
  }
  soon(drawRows);
}

// A row as the page keeps it: always the same members, so that 10,000 of them are quick to go through.
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

// Above the cap, what is done goes first, by its last change; then whatever changed longest ago.
function dropRows() {
  let over = state.rows.size - (state.hello?.cap ?? 10_000);
  if (over <= 0) return false;
  for (const row of state.rows.values()) {
    if (row.state !== "delivered" && row.state !== "ignored") continue;
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

// Where a row stands, or would stand, among those shown.
function placeOf(row) {
  let low = 0;
  let high = state.shown.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (newestFirst(state.shown[middle], row) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

// The list: only the rows in view are in the document -----------------------------------------------------------------

const view = { rowHeight: 30, headHeight: 0, height: 0, pool: [], optionsOld: false };

function listenToList() {
  const events = byId("events");
  events.addEventListener("scroll", () => soon(drawScrolled), { passive: true });
  new ResizeObserver(measure).observe(events);
  // Rows may move between press and release: what was pressed counts.
  let pressed = null;
  events.addEventListener("pointerdown", (press) => {
    pressed = press.target.closest("[data-pk]")?.dataset.pk ?? null;
  });
  events.addEventListener("click", (click) => {
    const pk = pressed ?? click.target.closest("[data-pk]")?.dataset.pk;
    pressed = null;
    if (!pk || !getSelection().isCollapsed) return; // who marks text does not open
    moveCursor(state.rows.get(pk), { scroll: false });
    openEvent(pk, { focus: isNarrow() });
  });
  events.addEventListener("blur", () => { if (atTop()) release(); });
  byId("newer").onclick = () => { toTop(); events.focus({ preventScroll: true }); };
}

function measure() {
  const events = byId("events");
  const anchor = anchorRow() && (cursorAnchor() ?? anchorRow());
  const style = getComputedStyle(events);
  view.rowHeight = parseFloat(style.getPropertyValue("--row"));
  view.headHeight = parseFloat(style.getPropertyValue("--head"));
  view.height = events.clientHeight - view.headHeight;
  soon(() => {
    drawRows(anchor);
    // Another width may be another height of rows: what is opened stays in view.
    if (!anchor && state.cursor) showRow(placeOf(state.cursor));
  });
}

function drawRows(anchor = anchorRow()) {
  filterRows();
  byId("canvas").style.height = `${state.shown.length * view.rowHeight}px`;
  byId("events").setAttribute("aria-rowcount", state.shown.length + 1);
  if (anchor) {
    // What is under the eye stays there, whatever has come or gone above it.
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

function drawList() {
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
  askCustomersSoon();
}

function newSlot() {
  const node = copy("row");
  const cell = (column) => node.querySelector(`[data-col=${column}]`);
  node.id = `row-${view.pool.length}`;
  byId("canvas").append(node);
  return {
    node, row: null, version: -1, index: -1, used: false, chips: [],
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
  if (slot.index !== index) {
    slot.index = index;
    slot.node.hidden = false;
    slot.node.style.top = `${index * view.rowHeight}px`;
    slot.node.setAttribute("aria-rowindex", index + 2);
  } else if (view.rowHeight !== slot.rowHeight) {
    slot.node.style.top = `${index * view.rowHeight}px`;
  }
  slot.rowHeight = view.rowHeight;
  if (slot.row !== row || slot.version !== row.version) fillRow(slot, row);
  const isCursor = state.cursor === row;
  slot.node.classList.toggle("cursor", isCursor);
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

function drawTimes() {
  const now = serverNow();
  for (const slot of view.pool) if (slot.used) fillTimes(slot, now);
  drawOldest(now);
  drawOpenedTimes(now);
  drawPausedTimes(now);
}

function untilNext(row, now) {
  if (row.inHand) return "in hand";
  if (row.next === null) return "";
  const wait = row.next * 1_000 - now;
  return wait <= 0 ? "due" : `in ${span(wait)}`;
}

function drawShown() {
  const all = state.rows.size;
  const shown = state.shown.length + state.held;
  setText(byId("shown"), shown === all ? counted(all, "event") : `${number(shown)} of ${counted(all, "event")}`);
  byId("newer").hidden = state.held === 0;
  setText(byId("newer"), `${counted(state.held, "new event")} ↑`);
  drawRedriveShown();
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
    return ["None of the listed events fits the filters.",
      ["Clear them, or look an id up in the table: type it above and press Enter."]];
  }
  if (state.hello.mode === "console") {
    return ["Nothing is pending or dead.",
      ["Events that wait or fail appear here by themselves; any other is found by its id: type it above and press Enter."]];
  }
  return ["No events yet.",
    ["Send one: choose a sample and press Send, or in a shell ",
      element("code", {}, "cargo run -- send rail events/rail/account_open.json --fresh")]];
}

// While the reader is away from the top, newer rows wait.
function hold() {
  if (state.heldFrom === null && state.shown.length) state.heldFrom = state.shown[0];
}

function release() {
  if (state.heldFrom === null) return;
  state.heldFrom = null;
  if (state.held) soon(drawRowsFromTop);
}

function drawRowsFromTop() {
  drawRows(null);
}

function toTop() {
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

// The row of the keyboard, or of the click, where it is in view: another layout of rows leaves it where it is.
function cursorAnchor() {
  if (!state.cursor) return null;
  const offset = placeOf(state.cursor) * view.rowHeight - byId("events").scrollTop;
  return offset >= 0 && offset < view.height ? { row: state.cursor, offset } : null;
}

// Customers are not in a row: they are looked up for what is in view --------------------------------------------------

let customersAsked = null;

function askCustomersSoon() {
  // Not put off again by each new frame: a list that never rests would never be asked about.
  customersAsked ??= setTimeout(askCustomers, 150);
}

async function askCustomers() {
  const query = new URLSearchParams();
  const asked = [];
  for (const { used, row } of view.pool) {
    if (!used || !wantsCustomer(row.pk)) continue;
    if (asked.length === CUSTOMERS_ASKED) break;
    if (asked.length && query.toString().length + row.pk.length > CUSTOMERS_URL) break;
    query.append("pk", row.pk);
    asked.push(row.pk);
  }
  try {
    if (asked.length) {
      const found = await ask(`api/customers?${query}`);
      for (const pk of asked) keepCustomer(pk, found[pk] ?? null);
    }
  } catch {
    // They are an aside: the list is not disturbed by it, and they are asked again.
    for (const pk of asked) keepCustomer(pk, undefined);
  }
  customersAsked = null;
  for (const slot of view.pool) if (slot.used) fillCustomer(slot);
  if (asked.length && view.pool.some((slot) => slot.used && wantsCustomer(slot.row.pk))) askCustomersSoon();
}

function wantsCustomer(pk) {
  const known = state.customers.get(pk);
  return !known || (typeof known.name !== "string" && Date.now() - known.at > UNKNOWN_CUSTOMER_MS);
}

function keepCustomer(pk, name) {
  state.customers.delete(pk);
  state.customers.set(pk, { name, at: Date.now() });
  if (state.customers.size > CUSTOMERS_KEPT) state.customers.delete(state.customers.keys().next().value);
}

function fillCustomer(slot) {
  const name = state.customers.get(slot.row.pk)?.name;
  const isUnknown = name === null;
  setText(slot.customer, isUnknown ? "–" : name ?? "");
  const title = isUnknown ? "not known" : name ?? "";
  if (slot.customer.title !== title) slot.customer.title = title;
  slot.customer.classList.toggle("unknown", isUnknown);
}

// Filters -------------------------------------------------------------------------------------------------------------

const FILTER_INPUTS = {
  provider: "filter-provider",
  type: "filter-type",
  state: "filter-state",
  workflow: "filter-workflow",
  error: "filter-error",
  search: "search",
};

function listenToFilters() {
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
  addEventListener("pagehide", () => { if (writing) writeFragment(); });
  addEventListener("hashchange", () => { readFragment(); showFilters(); toTop(); });
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

let writing = null;

// Not at each key: browsers take their time over it, and count.
function writeFragmentSoon() {
  writing ??= setTimeout(writeFragment, 200);
}

// The filters are in the address's fragment: a reload keeps them, and the server never sees them.
function writeFragment() {
  clearTimeout(writing);
  writing = null;
  const kept = Object.entries(state.filters).filter(([, value]) => value !== "");
  if (state.opened) kept.push(["event", state.opened.pk]);
  const fragment = new URLSearchParams(kept).toString();
  history.replaceState(null, "", location.pathname + location.search + (fragment && `#${fragment}`));
}

function readFragment() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(NO_FILTERS)) state.filters[name] = said.get(name) ?? "";
  const pk = said.get("event");
  if (pk && state.opened?.pk !== pk) queueMicrotask(() => openEvent(pk, { focus: false }));
}

function filterRows() {
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

function fillChoices() {
  fillOptions(byId("filter-state"), "any state", STATES);
  drawOptions();
  showFilters();
}

// The choices are what is listed, besides what the routes name.
function drawOptions() {
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
  // Not under the reader's hand.
  if (select.options.length && select === document.activeElement) return;
  const kept = values.slice(0, OPTIONS_SHOWN);
  if (select.value && !kept.includes(select.value)) kept.push(select.value);
  const before = Array.from(select.options, (option) => option.value);
  if (before.length === kept.length + 1 && kept.every((value, index) => value === before[index + 1])) return;
  const chosen = select.value;
  select.replaceChildren(option("", any), ...kept.map((value) => option(value)));
  select.value = chosen;
}

function ensureOption(select, value) {
  if (!Array.from(select.options).some((option) => option.value === value)) select.append(option(value));
}

async function find(id) {
  if (id === "") return;
  try {
    const { rows } = await ask("api/find?" + new URLSearchParams({ id }));
    if (rows.length === 0) return say(`No event has the id ${id}.`, "problem");
    keepRows(rows);
    openEvent(rows[0].pk, { focus: true });
    say(rows.length > 1 ? `${rows.length} providers have an event of this id: the first is opened.` : "");
  } catch (problem) {
    complain(problem);
  }
}

// Keys ----------------------------------------------------------------------------------------------------------------

function listenToKeys() {
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

function showRow(index) {
  const events = byId("events");
  const top = index * view.rowHeight;
  if (top < events.scrollTop) events.scrollTop = top;
  else if (top + view.rowHeight > events.scrollTop + view.height) events.scrollTop = top + view.rowHeight - view.height;
}

// The opened event ----------------------------------------------------------------------------------------------------

function listenToOpened() {
  byId("opened-close").onclick = closeOpened;
  byId("opened").addEventListener("click", (click) => {
    const button = click.target.closest("button.copy");
    if (!button) return;
    copyText(button.dataset.copies ? byId(button.dataset.copies) : button.parentElement.querySelector("pre"));
  });
  byId("redrive-one").onclick = () => planRedrive(byId("redrive-one"), [state.opened.pk]);
  matchMedia("(max-width: 719px)").addEventListener("change", keepBehindOut);
}

function openEvent(pk, { focus }) {
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

function closeOpened() {
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

// Where the opened event fills the screen, what is behind it is out of reach of Tab.
function keepBehindOut() {
  const covered = state.opened !== null && isNarrow();
  for (const part of document.querySelectorAll(".top, .tiles, .list, .side")) part.inert = covered;
}

function isNarrow() {
  return matchMedia("(max-width: 719px)").matches;
}

let refreshing = null;

// Many changes of one event in a moment are one look at it.
function refreshOpenedSoon() {
  refreshing ??= setTimeout(refreshOpened, 250);
}

async function refreshOpened() {
  clearTimeout(refreshing);
  refreshing = null;
  const { opened } = state;
  if (!opened) return;
  // One look at a time: an event that changes all the while would otherwise never be seen.
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

// Nodes are kept and only what differs is put in: place, focus and selection survive each change.
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
  const done = row.state === "delivered" ? "It is delivered: there is nothing to redrive" : "";
  const refusal = state.hello?.redrive ?? done;
  byId("redrive-one").disabled = refusal !== "";
  byId("redrive-one").title = refusal;

  repeat(byId("timeline"), "moment", event.timeline, fillMoment);
  repeat(byId("messages"), "message", event.messages, fillMessage);
  byId("no-messages").hidden = event.messages.length > 0;
  const silent = byId("silent");
  silent.hidden = event.silent.length === 0;
  setText(silent.querySelector("summary"), counted(event.silent.length, "route is silent: why", "routes are silent: why"));
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
  setText(node.querySelector(".to"), message.to ? `→ ${message.to}` : "→ a route that is no more");
  setState(node.querySelector(".state"), message.state, message.state);
  const sent = message.state === "delivered";
  const outcome = [sent ? "As it was sent" : message.message === null ? "" : "As it would be sent now",
    message.at === null ? "" : `${sent ? "at" : "last tried at"} ${timeWords(message.at)}`].filter(Boolean).join(", ");
  setText(node.querySelector(".outcome"), [outcome, message.code].filter(Boolean).join("; last error "));
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

function drawOpenedTimes(now) {
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
    say("The browser does not let the page copy: it is selected, copy it by key.", "problem");
  }
}

// Redrive -------------------------------------------------------------------------------------------------------------

function listenToRedrive() {
  const shown = byId("redrive-shown");
  shown.onclick = () => planRedrive(shown, state.shown.filter(isRedrivable).map((row) => row.pk));
  byId("confirm-no").onclick = () => byId("confirm").close();
  byId("confirm-yes").onclick = startRedrive;
  for (const choice of document.querySelectorAll("[name=rate]")) choice.onchange = drawConfirm;
  byId("job-stop").onclick = () => act(byId("job-stop"), () => ask("api/redrive/stop", { post: {} }));
  byId("job-close").onclick = () => { state.job = null; drawJob(); };
}

function isRedrivable(row) {
  return row.state !== "delivered";
}

function drawRedriveShown() {
  const count = state.shown.reduce((sum, row) => sum + isRedrivable(row), 0);
  const button = byId("redrive-shown");
  button.disabled = count === 0 || Boolean(state.hello?.redrive) || state.job?.state === "running";
  setText(button, count ? `Redrive shown (${number(count)}) ...` : "Redrive shown");
}

async function planRedrive(button, keys) {
  await act(button, async () => {
    state.plan = await ask("api/redrive/plan", { post: { keys } });
    drawConfirm();
    byId("confirm").showModal();
    // Not on what begins it: a second Enter must not be the answer to a question that was not read yet.
    (state.plan.count > 1 ? document.querySelector("[name=rate]:checked") : byId("confirm-no")).focus();
  });
}

function drawConfirm() {
  const { count, inHand, nothing } = state.plan;
  const sentences = [count === 0 ? "Nothing here can be redriven now."
    : count === 1 ? "Redrive 1 event?" : `Redrive ${number(count)} events at ${chosenRate()} a second?`];
  if (inHand) sentences.push(counted(inHand, "is being delivered and is", "are being delivered and are") + " left alone.");
  if (nothing) sentences.push(counted(nothing, "needs none", "need none") + ": delivered already, or gone.");
  const takes = Math.ceil(count / chosenRate());
  if (takes >= 10) sentences.push(`It takes about ${span(takes * 1_000)}; it can be stopped.`);
  setText(byId("confirm-text"), sentences.join(" "));
  byId("confirm-rate").hidden = count < 2;
  byId("confirm-yes").hidden = count === 0;
  setText(byId("confirm-yes"), `Redrive ${number(count)}`);
  setText(byId("confirm-no"), count === 0 ? "Close" : "Cancel");
}

function chosenRate() {
  return Number(document.querySelector("[name=rate]:checked").value);
}

async function startRedrive() {
  byId("confirm").close();
  const post = { plan: state.plan.plan, rate: chosenRate() };
  await act(byId("confirm-yes"), () => ask("api/redrive/start", { post }));
}

function takeJob(job) {
  const before = state.job;
  state.job = job;
  if (job.state !== "running" && before?.state === "running") {
    say(job.problem ?? `Redrive ${job.state}: ${jobCounts(job)}`, job.state === "failed" ? "problem" : undefined);
  }
  soon(drawJob);
}

function drawJob() {
  const { job } = state;
  byId("job").hidden = job === null;
  drawRedriveShown();
  if (!job) return;
  const running = job.state === "running";
  byId("job").dataset.state = job.state;
  setText(byId("job-title"), running ? "Redriving" : `Redrive ${job.state}`);
  byId("job-bar").max = Math.max(1, job.total);
  byId("job-bar").value = job.done;
  setText(byId("job-counts"), [jobCounts(job), job.problem].filter(Boolean).join(". "));
  byId("job-stop").hidden = !running;
  byId("job-close").hidden = running;
}

function jobCounts(job) {
  return [`${number(job.done)} of ${number(job.total)}`, job.counts].filter(Boolean).join(": ");
}

// Workflows -----------------------------------------------------------------------------------------------------------

function drawWorkflows() {
  repeat(byId("workflows"), "workflow", state.workflows, (node, workflow) => {
    const { name, paused, routes } = workflow;
    node.dataset.workflow = name;
    node.title = `${name}: ${routes.length === 1 ? "route" : "routes"} ${routes.join(", ")}`;
    setState(node.querySelector(".state"), paused ? "paused" : "running", name);
    const button = node.querySelector("button");
    button.dataset.action = paused ? "resume" : "pause";
    setText(button, paused ? "Resume" : "Pause");
    button.setAttribute("aria-label", `${paused ? "Resume" : "Pause"} ${name}`);
    button.onclick = () => act(button, async () => {
      const { said } = await ask("api/workflows", { post: { name, paused: !paused } });
      say(said);
    });
  });
  drawPausedTimes(serverNow());
}

function drawPausedTimes(now) {
  state.workflows.forEach(({ paused, since, pending }, index) => {
    const sub = byId("workflows").children[index]?.querySelector(".sub");
    const stands = !paused ? "running" : since === null ? "paused" : `paused for ${age(now - since)}`;
    if (sub) setText(sub, `${stands}, ${number(pending)} pending`);
  });
}

// Figures -------------------------------------------------------------------------------------------------------------

const MINUTES = 60;

function drawFigures() {
  const { pending, dead, atLeast, minutes, acks } = state.stats;
  const count = (value) => (atLeast ? "≥ " : "") + number(value);
  setText(byId("pending"), count(pending));
  setText(byId("dead"), count(dead));
  byId("dead").parentElement.classList.toggle("alarm", dead > 0);
  const stuck = [dead && `${number(dead)} dead`, pending && `${number(pending)} pending`];
  document.title = [...stuck, "bridge"].filter(Boolean).join(" · ");
  drawOldest(serverNow());
  drawRates(minutes);
  drawAcks(acks);
}

function drawOldest(now) {
  if (!state.stats) return;
  const { oldest } = state.stats;
  setText(byId("oldest"), oldest === null ? "none" : span(now - oldest));
  setText(byId("oldest-sub"), oldest === null ? "\u00a0" : `since ${timeWords(oldest).slice(11, 19)} UTC`);
}

function drawRates(minutes) {
  const thisMinute = Math.floor(serverNow() / 60_000);
  const bars = Array.from({ length: MINUTES }, () => [0, 0]);
  for (const [minute, delivered, failed] of minutes) {
    const index = minute - thisMinute + MINUTES - 1;
    if (index >= 0 && index < MINUTES) bars[index] = [delivered, failed];
  }
  const [delivered, failed] = bars[MINUTES - 1];
  const [deliveredBefore, failedBefore] = bars[MINUTES - 2];
  setText(byId("delivered-rate"), number(delivered));
  setText(byId("failed-rate"), number(failed));
  setText(byId("delivered-sub"), `${number(deliveredBefore)} the minute before`);
  setText(byId("failed-sub"), `${number(failedBefore)} the minute before`);

  const chart = byId("rates-chart");
  if (!chart.firstChild) fillRatesChart(chart);
  const most = Math.max(1, ...bars.map(([one, other]) => one + other));
  setText(byId("rates-top"), most > 1 ? `highest ${number(most)} a minute` : "");
  chart.setAttribute("aria-label", `Delivered and failed in each of the last 60 minutes; ${number(most)} in the busiest`);
  bars.forEach(([delivered, failed], index) => {
    const [good, bad] = chart.children[index].children;
    const goodHeight = (delivered / most) * 47;
    const badHeight = (failed / most) * 47;
    setBar(good, 48 - goodHeight, goodHeight);
    setBar(bad, 48 - goodHeight - badHeight, badHeight);
    const minute = new Date((thisMinute - MINUTES + 1 + index) * 60_000).toISOString().slice(11, 16);
    setText(chart.children[index].lastChild, `${minute} UTC: ${number(delivered)} delivered, ${number(failed)} failed`);
  });
}

function fillRatesChart(chart) {
  for (let index = 0; index < MINUTES; index++) {
    const x = index * 4 + 0.5;
    const [good, bad] = ["delivered", "failed"].map((name) => svg("rect", { class: name, x, width: 3 }));
    chart.append(svg("g", {}, good, bad, svg("title", {})));
  }
}

function setBar(bar, y, height) {
  bar.setAttribute("y", y.toFixed(2));
  bar.setAttribute("height", height.toFixed(2));
}

function drawAcks(acks) {
  const chart = byId("ack-chart");
  if (acks === null) {
    setText(byId("ack"), "–");
    setText(byId("ack-sub"), "not in the table");
    chart.parentElement.hidden = true;
    return;
  }
  if (acks.length === 0) {
    setText(byId("ack"), "–");
    setText(byId("ack-sub"), "none yet");
    return;
  }
  const sorted = [...acks].sort((one, other) => one - other);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => sorted[Math.ceil(share * sorted.length) - 1]);
  setText(byId("ack"), `${milliseconds(p50)} ms`);
  setText(byId("ack-sub"), `p50 of ${acks.length}; p95 ${milliseconds(p95)}, p99 ${milliseconds(p99)}`);

  // A logarithm, since one slow answer must not flatten the rest.
  const low = Math.log(Math.max(0.1, sorted[0]) * 0.8);
  const high = Math.log(Math.max(0.2, sorted[sorted.length - 1]) * 1.2);
  const y = (ack) => (48 - ((Math.log(Math.max(0.1, ack)) - low) / (high - low)) * 48).toFixed(1);
  if (!chart.firstChild) {
    chart.append(...["p50", "p95", "p99", "dots"].map((name) => svg("path", { class: name })));
  }
  const [line50, line95, line99, dots] = chart.children;
  for (const [line, value] of [[line50, p50], [line95, p95], [line99, p99]]) line.setAttribute("d", `M0 ${y(value)}H200`);
  // Dots of zero length with round ends: they stay round however the chart is stretched.
  dots.setAttribute("d", acks.map((ack, index) => `M${200 - acks.length + index + 0.5} ${y(ack)}h0`).join(""));
  setText(byId("ack-from"), `${acks.length} ago`);
  setText(byId("ack-scale"), `${milliseconds(sorted[0])} to ${milliseconds(sorted[sorted.length - 1])} ms, log`);
  setText(byId("ack-to"), "now");
}

// The dev bench -------------------------------------------------------------------------------------------------------

function listenToBench() {
  byId("send-sample").onchange = () => { sampleComing = loadSample(); };
  byId("send-body").oninput = drawEdited;
  byId("send-reset").onclick = () => { byId("send-body").value = state.sample.text; drawEdited(); };
  byId("send").onclick = send;
  byId("make-due").onclick = () => act(byId("make-due"), async () => {
    const { due } = await ask("api/due", { post: {} });
    say(due === 0 ? "Nothing waits." : `${counted(due, "event is", "events are")} due now.`);
  });
  const behaviour = byId("behaviour");
  behaviour.append(...Array.from(BEHAVIOURS.keys(), (name) => option(name)));
  behaviour.onchange = () => act(behaviour, () => ask("api/returning-ai", { post: { behaviour: behaviour.value } }));
}

async function loadSamples() {
  try {
    const samples = await ask("api/samples");
    const groups = Map.groupBy(samples, (sample) => sample.provider);
    byId("send-sample").replaceChildren(...Array.from(groups, ([provider, of]) =>
      element("optgroup", { label: provider }, ...of.map((sample) => sampleOption(sample)))));
    await (sampleComing = loadSample());
  } catch (problem) {
    complain(problem);
  }
}

function sampleOption({ name, provider, ends }) {
  const file = name.slice(name.lastIndexOf("/") + 1);
  return element("option", { value: name, "data-provider": provider }, `${file} (${ends})`);
}

// What was chosen last may still be on its way when it is to be sent.
let sampleComing = null;

async function loadSample() {
  const chosen = byId("send-sample").selectedOptions[0];
  if (!chosen) return;
  const name = chosen.value;
  try {
    const text = await ask("api/sample?" + new URLSearchParams({ name }), { text: true });
    if (byId("send-sample").value !== name) return;
    state.sample = { name, provider: chosen.dataset.provider, text };
    byId("send-body").value = text;
    drawEdited();
  } catch (problem) {
    if (state.sample) byId("send-sample").value = state.sample.name;
    complain(problem);
  }
}

function isEdited() {
  // The browser makes CR LF a LF in a textarea: that is not the reader's edit.
  return byId("send-body").value !== state.sample.text.replace(/\r\n?/g, "\n");
}

function drawEdited() {
  byId("send-reset").hidden = !isEdited();
}

function send() {
  return act(byId("send"), async () => {
    await sampleComing;
    if (!state.sample) return;
    const { name: sample, provider } = state.sample;
    const body = isEdited() ? byId("send-body").value : null;
    const [how, fresh] = [byId("send-how").value, byId("send-fresh").checked];
    const sent = await ask("api/send", { post: { provider, sample, body, how, fresh } });
    drawSent(sent);
    if (sent.pk && isWide()) openEvent(sent.pk, { focus: false });
  });
}

function drawSent({ pk, answers, p50, longest }) {
  const total = answers.reduce((sum, { count }) => sum + count, 0);
  const words = answers.map(({ count, status, answer }) => (total > 1 ? `${count} × ` : "") + `${status} ${answer}`);
  words.push((total > 1 ? `p50 ${milliseconds(p50)} ms, longest ` : "") + `${milliseconds(longest)} ms`);
  const result = byId("send-result");
  result.dataset.ok = answers.some(({ status }) => status < 300);
  result.replaceChildren(words.join(", "));
  if (pk) result.append(" ", element("button", { class: "link", onclick: () => openEvent(pk, { focus: true }) }, pk));
}

function isWide() {
  return matchMedia("(min-width: 1560px)").matches;
}

function takeBench(bench) {
  state.bench = bench;
  soon(drawBench);
}

function drawBench() {
  const { behaviour, functions } = state.bench;
  ensureOption(byId("behaviour"), behaviour);
  byId("behaviour").value = behaviour;
  setText(byId("behaviour-means"), BEHAVIOURS.get(behaviour) ?? "");
  repeat(byId("functions"), "function", functions, (node, { name, running, processes, atWork }) => {
    node.dataset.function = name;
    setState(node.querySelector(".state"), running ? "running" : "paused", name);
    const works = `${counted(processes, "process", "processes")}, ${atWork} at work`;
    setText(node.querySelector(".sub"), running ? works : "stopped");
    const button = node.querySelector("button");
    setText(button, running ? "Stop" : "Start");
    button.setAttribute("aria-label", `${running ? "Stop" : "Start"} ${name}`);
    button.onclick = () => act(button, () => ask("api/functions", { post: { name, running: !running } }));
  });
}

// Asking and saying ---------------------------------------------------------------------------------------------------

class Problem extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

async function ask(path, { post, text } = {}) {
  const headers = { "x-bridge-token": token };
  if (post) headers["content-type"] = "application/json";
  let answer;
  try {
    const body = post && JSON.stringify(post);
    answer = await fetch(path, { method: post ? "POST" : "GET", headers, body, cache: "no-store" });
  } catch {
    throw new Problem("the bridge does not answer", "is it still running?");
  }
  if (answer.ok) return text ? answer.text() : answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Problem(said.problem ?? `the bridge answered ${answer.status}`, said.hint);
}

// Runs what a button asks for, once at a time, and says what went wrong.
async function act(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (problem) {
    complain(problem);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function complain(problem) {
  if (!(problem instanceof Problem)) console.error(problem);
  say(inWords(problem), "problem");
}

function inWords({ message, hint }) {
  return hint ? `${message}. Hint: ${hint}` : message;
}

let saying = null;

function say(words, kind = "done") {
  clearTimeout(saying);
  const notice = byId("notice");
  // Empty, not hidden: a screen reader hears only of what changes in something that is there.
  notice.toggleAttribute("data-empty", words === "");
  notice.dataset.kind = kind;
  setText(byId("notice-text"), words);
  // What went wrong stays until it is closed.
  if (words && kind === "done") saying = setTimeout(() => say(""), 15_000);
}

// Words ---------------------------------------------------------------------------------------------------------------

const grouped = new Intl.NumberFormat("en");
const number = (value) => grouped.format(value);

function counted(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

function serverNow() {
  return Date.now() + state.skew;
}

function milliseconds(value) {
  return value < 10 ? value.toFixed(1) : number(Math.round(value));
}

// In the two largest units, as the command line says it: `3 h 5 min`.
function span(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const pair = (large, name, small, smallName) => {
    const rest = Math.floor((seconds % large) / small);
    return `${Math.floor(seconds / large)} ${name}` + (rest ? ` ${rest} ${smallName}` : "");
  };
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return pair(60, "min", 1, "s");
  if (seconds < 86_400) return pair(3_600, "h", 60, "min");
  return pair(86_400, "d", 3_600, "h");
}

// Between two moments of one event: milliseconds matter at first, not later.
function shortSpan(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1_000).toFixed(2)} s` : span(ms);
}

function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

function timeWords(ms) {
  const date = new Date(ms);
  // An event may say that it occurred at a time that no calendar has.
  return Number.isNaN(date.getTime()) ? `${ms} ms since 1970` : date.toISOString().replace("T", " ").replace("Z", " UTC");
}

// Elements ------------------------------------------------------------------------------------------------------------

let drawing = 0;
const undrawn = new Set();

// Everything is drawn in the next frame, and once, however often it is asked for.
function soon(draw) {
  undrawn.add(draw);
  drawing ||= requestAnimationFrame(() => {
    const draws = [...undrawn];
    undrawn.clear();
    drawing = 0;
    for (const draw of draws) draw();
  });
}

function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function option(value, label = value) {
  const words = label.length > 60 ? `${label.slice(0, 60)}…` : label;
  return element("option", { value }, words);
}

function copy(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

// One copy of the template for each item; nodes that are there already are used again, in place.
function repeat(container, template, items, fill) {
  while (container.children.length > items.length) container.lastElementChild.remove();
  while (container.children.length < items.length) container.append(copy(template));
  items.forEach((item, index) => fill(container.children[index], item));
}

// Writes only what differs, into the text node that is there.
function setText(node, text) {
  const only = node.firstChild;
  if (only?.nodeType === Node.TEXT_NODE && !only.nextSibling) {
    if (only.data !== text) only.data = text;
  } else if (only || text !== "") {
    node.textContent = text;
  }
}

// For what may be cut by the layout: the whole is in the title.
function setCut(node, text) {
  setText(node, text);
  if (node.title !== text) node.title = text;
}

function setState(node, of, words) {
  node.dataset.state = of;
  setText(node.lastElementChild, words);
}

function setTime(node, ms) {
  setText(node, ms === null ? "not yet" : timeWords(ms));
  node.title = ms === null ? "" : new Date(ms).toLocaleString();
}

start();
