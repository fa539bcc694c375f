// The controls of `bridge dev` alone: send samples, choose how Returning.AI behaves, stop functions.

import { act, ask, complain, say } from "./asking.js";
import { byId, element, ensureOption, option, repeat, setState, setText, soon } from "./elements.js";
import { openEvent } from "./opened.js";
import { state } from "./state.js";
import { counted, milliseconds } from "./words.js";

const BEHAVIOURS = new Map([
  ["fine", "answers 200 at once"],
  ["slow", "accepts each message, and answers after one second"],
  ["500", "fails each time: retried later"],
  ["429", "limits the rate: retried no sooner than it asks for"],
  ["401", "refuses the session: one new handshake, then retried later"],
  ["reset", "drops the connection: retried later"],
  ["garbage", "answers with bytes that cannot be read: retried later"],
]);

export function listenToPlayground() {
  byId("send-sample").onchange = () => { sampleComing = loadSample(); };
  byId("send-body").oninput = drawEdited;
  byId("send-reset").onclick = () => { byId("send-body").value = state.sample.text; drawEdited(); };
  byId("send").onclick = send;
  byId("make-due").onclick = () => act(byId("make-due"), async () => {
    const { due } = await ask("api/due", { post: {} });
    say(due === 0 ? "No event is pending." : `${counted(due, "event is", "events are")} due now.`);
  });
  const behaviour = byId("behaviour");
  behaviour.append(...Array.from(BEHAVIOURS.keys(), (name) => option(name)));
  behaviour.onchange = () => act(behaviour, () => ask("api/returning-ai", { post: { behaviour: behaviour.value } }));
}

export async function loadSamples() {
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

// The sample that was chosen last may still be loading when Send is pressed.
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
  // A textarea changes CR LF to LF: that is no edit of the reader.
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

export function takePlayground(playground) {
  state.playground = playground;
  soon(drawPlayground);
}

function drawPlayground() {
  const { real, behaviour, functions } = state.playground;
  byId("real").hidden = real === null;
  setText(byId("real"), real ?? "");
  byId("behaviour").parentElement.hidden = behaviour === null;
  if (behaviour !== null) {
    ensureOption(byId("behaviour"), behaviour);
    byId("behaviour").value = behaviour;
  }
  setText(byId("behaviour-means"), behaviour === null ? "It is real: what you send here reaches it." : BEHAVIOURS.get(behaviour) ?? "");
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
