// Redrives or dismisses one event or the shown ones: confirmation, progress, stop.

import { act, ask, say } from "./asking.js";
import { byId, setText, soon } from "./elements.js";
import { state } from "./state.js";
import { number, span } from "./words.js";

const ACTIONS = {
  redrive: { verb: "Redrive", doing: "Redriving", noun: "Redrive", takes: isRedrivable },
  dismiss: { verb: "Dismiss", doing: "Dismissing", noun: "Dismissal", takes: (row) => row.state === "dead" },
};

// What a person has dismissed is taken up again only where it is asked for by its state.
function isRedrivable(row) {
  return row.state !== "delivered" && (row.state !== "dismissed" || state.filters.state === "dismissed");
}

export function listenToJobs() {
  for (const [action, { takes }] of Object.entries(ACTIONS)) {
    const shown = byId(`${action}-shown`);
    shown.onclick = () => plan(action, shown, state.shown.filter(takes).map((row) => row.pk));
  }
  byId("confirm-no").onclick = () => byId("confirm").close();
  byId("confirm-yes").onclick = start;
  for (const choice of document.querySelectorAll("[name=rate]")) choice.onchange = drawConfirm;
  byId("job-stop").onclick = () => act(byId("job-stop"), () => ask(`api/${state.job.action}/stop`, { post: {} }));
  byId("job-close").onclick = () => { state.job = null; drawJob(); };
}

export function drawActions() {
  for (const [action, { verb, takes }] of Object.entries(ACTIONS)) {
    const count = state.shown.reduce((sum, row) => sum + takes(row), 0);
    const impossible = action === "redrive" && Boolean(state.hello?.redrive);
    const button = byId(`${action}-shown`);
    button.disabled = count === 0 || impossible || state.job?.state === "running";
    setText(button, count ? `${verb} shown (${number(count)}) ...` : `${verb} shown`);
  }
}

export async function plan(action, button, keys) {
  await act(button, async () => {
    state.plan = await ask(`api/${action}/plan`, { post: { keys } });
    byId("reason").value = "";
    drawConfirm();
    byId("confirm").showModal();
    // The focus is not on the confirming button: a second Enter must not confirm an unread question.
    const first = byId("confirm-rate").hidden ? byId("confirm-no") : document.querySelector("[name=rate]:checked");
    first.focus();
  });
}

function drawConfirm() {
  const { action, count, remarks } = state.plan;
  const { verb } = ACTIONS[action];
  const events = count === 1 ? "1 event" : `${number(count)} events`;
  const hasRate = action === "redrive" && count > 1;
  const sentences = [count === 0 ? `None of these events can be ${action === "redrive" ? "redriven" : "dismissed"} now.`
    : `${verb} ${events}${hasRate ? ` at ${chosenRate()} a second` : ""}?`, ...remarks];
  const takes = hasRate ? Math.ceil(count / chosenRate()) : 0;
  if (takes >= 10) sentences.push(`It takes about ${span(takes * 1_000)}; it can be stopped.`);
  setText(byId("confirm-text"), sentences.join(" "));
  byId("confirm-rate").hidden = !hasRate;
  byId("confirm-reason").hidden = action !== "dismiss" || count === 0;
  byId("confirm-yes").hidden = count === 0;
  setText(byId("confirm-yes"), `${verb} ${number(count)}`);
  setText(byId("confirm-no"), count === 0 ? "Close" : "Cancel");
}

function chosenRate() {
  return Number(document.querySelector("[name=rate]:checked").value);
}

async function start() {
  byId("confirm").close();
  const { action, plan } = state.plan;
  const post = action === "redrive" ? { plan, rate: chosenRate() } : { plan, reason: byId("reason").value };
  await act(byId("confirm-yes"), () => ask(`api/${action}/start`, { post }));
}

export function takeJob(job) {
  const before = state.job;
  state.job = job;
  if (job.state !== "running" && before?.state === "running") {
    const { noun } = ACTIONS[job.action];
    say(job.problem ?? `${noun} ${job.state}: ${jobCounts(job)}`, job.state === "failed" ? "problem" : undefined);
  }
  soon(drawJob);
}

function drawJob() {
  const { job } = state;
  byId("job").hidden = job === null;
  drawActions();
  if (!job) return;
  const running = job.state === "running";
  const { doing, noun } = ACTIONS[job.action];
  byId("job").dataset.state = job.state;
  setText(byId("job-title"), running ? doing : `${noun} ${job.state}`);
  byId("job-bar").max = Math.max(1, job.total);
  byId("job-bar").value = job.done;
  setText(byId("job-counts"), [jobCounts(job), job.problem].filter(Boolean).join(". "));
  byId("job-stop").hidden = !running;
  byId("job-close").hidden = running;
}

function jobCounts(job) {
  return [`${number(job.done)} of ${number(job.total)}`, job.counts].filter(Boolean).join(": ");
}
