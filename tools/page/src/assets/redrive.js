// Redrives one event or the shown ones: confirmation, progress, stop.

import { act, ask, say } from "./asking.js";
import { byId, setText, soon } from "./elements.js";
import { state } from "./state.js";
import { counted, number, span } from "./words.js";

export function listenToRedrive() {
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

export function drawRedriveShown() {
  const count = state.shown.reduce((sum, row) => sum + isRedrivable(row), 0);
  const button = byId("redrive-shown");
  button.disabled = count === 0 || Boolean(state.hello?.redrive) || state.job?.state === "running";
  setText(button, count ? `Redrive shown (${number(count)}) ...` : "Redrive shown");
}

export async function planRedrive(button, keys) {
  await act(button, async () => {
    state.plan = await ask("api/redrive/plan", { post: { keys } });
    drawConfirm();
    byId("confirm").showModal();
    // The focus is not on the confirming button: a second Enter must not confirm an unread question.
    (state.plan.count > 1 ? document.querySelector("[name=rate]:checked") : byId("confirm-no")).focus();
  });
}

function drawConfirm() {
  const { count, inHand, nothing } = state.plan;
  const sentences = [count === 0 ? "None of these events can be redriven now."
    : count === 1 ? "Redrive 1 event?" : `Redrive ${number(count)} events at ${chosenRate()} a second?`];
  if (inHand) sentences.push(counted(inHand, "is being delivered and is", "are being delivered and are") + " skipped.");
  if (nothing) sentences.push(counted(nothing, "needs none", "need none") + ": already delivered, or removed.");
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

export function takeJob(job) {
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
