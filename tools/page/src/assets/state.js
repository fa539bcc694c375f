// All state of the page.

export const NO_FILTERS = { provider: "", type: "", state: "", workflow: "", error: "", search: "" };

export const state = {
  hello: null,
  lastHeard: 0,
  lostSince: null,
  skew: 0,                // the server's clock minus ours, ms
  stats: null,
  rows: new Map(),        // by pk, in the order of their last change: the first is removed first
  newestFirst: [],        // the same rows, by receipt
  shown: [],              // those that match the filters
  heldFrom: null,         // while the list is scrolled away from the top: newer rows than this are held back
  held: 0,                // how many are held back
  loaded: false,
  loading: null,          // after a reconnect: the rows so far, until they are complete
  more: false,
  filters: { ...NO_FILTERS },
  cursor: null,           // the row that the keyboard is on
  opened: null,           // { pk, event, problem, asking, changed }
  openedFrom: null,       // the element that had the focus before
  customers: new Map(),   // pk → { name, at }: name is null if unknown, undefined if the request failed
  workflows: [],
  playground: null,
  plan: null,
  job: null,
  sample: null,           // { name, provider, text }
};

export function serverNow() {
  return Date.now() + state.skew;
}
