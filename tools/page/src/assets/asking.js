// Requests to the server, and the notice that shows their results.

import { byId, setText } from "./elements.js";

export const token = document.querySelector("meta[name=bridge-token]").content;

class Problem extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

export async function ask(path, { post, text } = {}) {
  const headers = { "x-bridge-token": token };
  if (post) headers["content-type"] = "application/json";
  let answer;
  try {
    const body = post && JSON.stringify(post);
    answer = await fetch(path, { method: post ? "POST" : "GET", headers, body, cache: "no-store" });
  } catch {
    throw new Problem("The bridge does not answer", "check that it is still running");
  }
  if (answer.ok) return text ? answer.text() : answer.json();
  const said = await answer.json().catch(() => ({}));
  throw new Problem(said.problem ?? `The bridge answered ${answer.status}`, said.hint);
}

// Runs the action of a button, once at a time, and shows what failed.
export async function act(button, work) {
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

export function complain(problem) {
  if (!(problem instanceof Problem)) console.error(problem);
  say(inWords(problem), "problem");
}

export function inWords({ message, hint }) {
  return hint ? `${message}. Hint: ${hint}` : message;
}

let saying = null;

export function say(words, kind = "done") {
  clearTimeout(saying);
  const notice = byId("notice");
  // Empty, not hidden: a screen reader announces changes of visible elements only.
  notice.toggleAttribute("data-empty", words === "");
  notice.dataset.kind = kind;
  setText(byId("notice-text"), words);
  // An error stays until the reader closes it.
  if (words && kind === "done") saying = setTimeout(() => say(""), 15_000);
}
