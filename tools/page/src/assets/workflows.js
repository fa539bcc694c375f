// The workflows, each with its button to pause or resume.

import { act, ask, say } from "./asking.js";
import { byId, repeat, setState, setText } from "./elements.js";
import { serverNow, state } from "./state.js";
import { age, number } from "./words.js";

export function drawWorkflows() {
  repeat(byId("workflows"), "workflow", state.workflows, (node, workflow) => {
    const { name, paused, routes } = workflow;
    node.dataset.workflow = name;
    node.title = `${name}: ${routes.length === 1 ? "route" : "routes"} ${routes.join(", ")}`;
    setState(node.querySelector(".state"), paused === null ? "unreadable" : paused ? "paused" : "running", name);
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

export function drawPausedTimes(now) {
  state.workflows.forEach(({ paused, since, pending }, index) => {
    const sub = byId("workflows").children[index]?.querySelector(".sub");
    const stands = paused === null ? "pauses unreadable: no messages are sent" : !paused ? "running" : since === null ? "paused" : `paused for ${age(now - since)}`;
    if (sub) setText(sub, `${stands}, ${number(pending)} pending`);
  });
}
