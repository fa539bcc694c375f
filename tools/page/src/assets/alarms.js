// What an alarm is about: the paragraphs of the runbook, which the HTML has.

import { say } from "./asking.js";
import { byId } from "./elements.js";

export function listenToAlarms() {
  const dialog = byId("alarms");
  byId("alarms-open").onclick = () => dialog.showModal();
  byId("alarms-close").onclick = () => dialog.close();
  dialog.addEventListener("click", (click) => {
    const link = click.target.closest("a");
    if (!link) return;
    const alarm = new URLSearchParams(link.hash.slice(1)).get("alarm");
    if (!alarm) return dialog.close();
    // The address does not change, so the filters stay as they are.
    click.preventDefault();
    showAlarm(alarm);
  });
}

// By its name, with or without the stack's before it and the number of a share within it.
export function showAlarm(name) {
  const dialog = byId("alarms");
  const ending = `-${name.replace(/-share-\d+-/, "-share-")}`;
  const alarm = [...dialog.querySelectorAll("details")].find(({ dataset }) => ending.endsWith(`-${dataset.alarm}`));
  if (!alarm) return say(`The runbook has no alarm ${name}.`, "problem");
  if (!dialog.open) dialog.showModal();
  alarm.open = true;
  alarm.scrollIntoView();
  alarm.querySelector("summary").focus({ preventScroll: true });
}
