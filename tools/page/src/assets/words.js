// Numbers, durations and times as text.

const grouped = new Intl.NumberFormat("en");
export const number = (value) => grouped.format(value);

export function counted(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

export function milliseconds(value) {
  return value < 10 ? value.toFixed(1) : number(Math.round(value));
}

// In the two largest units, as on the command line: `3 h 5 min`.
export function span(ms) {
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

// Between two moments of one event: short durations have milliseconds.
export function shortSpan(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 10_000 ? `${(ms / 1_000).toFixed(2)} s` : span(ms);
}

export function age(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

export function timeWords(ms) {
  const date = new Date(ms);
  // The `occurred_at` of an event may be out of the range of a Date.
  return Number.isNaN(date.getTime()) ? `${ms} ms since 1970` : date.toISOString().replace("T", " ").replace("Z", " UTC");
}

export function untilNext(row, now) {
  if (row.inHand) return "in hand";
  if (row.next === null) return "";
  const wait = row.next * 1_000 - now;
  return wait <= 0 ? "due" : `in ${span(wait)}`;
}
