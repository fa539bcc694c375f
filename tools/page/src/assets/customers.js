// Customers are not in a row: they are looked up for the rows in view, and kept for a while.

import { ask } from "./asking.js";
import { setText } from "./elements.js";
import { state } from "./state.js";

const CUSTOMERS_KEPT = 2_000;
const CUSTOMERS_ASKED = 100;        // at once; the server takes no more
const CUSTOMERS_URL = 6_000;        // characters, since ids may be long
const UNKNOWN_CUSTOMER_MS = 30_000; // a link may come any minute

let customersAsked = null;

export function askCustomersSoon(slots) {
  // Not put off again by each new frame: a list that never rests would never be asked about.
  customersAsked ??= setTimeout(() => askCustomers(slots), 150);
}

async function askCustomers(slots) {
  const query = new URLSearchParams();
  const asked = [];
  for (const { used, row } of slots) {
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
  for (const slot of slots) if (slot.used) fillCustomer(slot);
  if (asked.length && slots.some((slot) => slot.used && wantsCustomer(slot.row.pk))) askCustomersSoon(slots);
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

export function fillCustomer(slot) {
  const name = state.customers.get(slot.row.pk)?.name;
  const isUnknown = name === null;
  setText(slot.customer, isUnknown ? "–" : name ?? "");
  const title = isUnknown ? "not known" : name ?? "";
  if (slot.customer.title !== title) slot.customer.title = title;
  slot.customer.classList.toggle("unknown", isUnknown);
}
