// Rows do not contain customers: they are looked up for the visible rows, and cached.

import { ask } from "./asking.js";
import { setText } from "./elements.js";
import { state } from "./state.js";

const CUSTOMERS_KEPT = 2_000;
const CUSTOMERS_ASKED = 100;        // per request; the limit of the server
const CUSTOMERS_URL = 6_000;        // characters: ids can be long
const UNKNOWN_CUSTOMER_MS = 30_000; // a link can be added at any time

let customersAsked = null;

export function askCustomersSoon(slots) {
  // New frames must not postpone it: otherwise a list that changes all the time is never looked up.
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
    // The list works without customers; they are requested again.
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
