// What the page knows at the moment, all of it in one place.

export const NO_FILTERS = { provider: "", type: "", state: "", workflow: "", error: "", search: "" };

export const state = {
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
  playground: null,
  plan: null,
  job: null,
  sample: null,           // { name, provider, text }
};

export function serverNow() {
  return Date.now() + state.skew;
}
