// The tiles at the top: counts, rates and acknowledgement times, with their charts.

import { byId, setText, svg } from "./elements.js";
import { serverNow, state } from "./state.js";
import { milliseconds, number, span, timeWords } from "./words.js";

const MINUTES = 60;

export function drawFigures() {
  const { pending, dead, atLeast, minutes, acks } = state.stats;
  const count = (value) => (atLeast ? "≥ " : "") + number(value);
  setText(byId("pending"), count(pending));
  setText(byId("dead"), count(dead));
  byId("dead").parentElement.classList.toggle("alarm", dead > 0);
  const stuck = [dead && `${number(dead)} dead`, pending && `${number(pending)} pending`];
  document.title = [...stuck, "bridge"].filter(Boolean).join(" · ");
  drawOldest(serverNow());
  drawRates(minutes);
  drawAcks(acks);
}

export function drawOldest(now) {
  if (!state.stats) return;
  const { oldest } = state.stats;
  setText(byId("oldest"), oldest === null ? "none" : span(now - oldest));
  setText(byId("oldest-sub"), oldest === null ? "\u00a0" : `since ${timeWords(oldest).slice(11, 19)} UTC`);
}

function drawRates(minutes) {
  const thisMinute = Math.floor(serverNow() / 60_000);
  const bars = Array.from({ length: MINUTES }, () => [0, 0]);
  for (const [minute, delivered, failed] of minutes) {
    const index = minute - thisMinute + MINUTES - 1;
    if (index >= 0 && index < MINUTES) bars[index] = [delivered, failed];
  }
  const [delivered, failed] = bars[MINUTES - 1];
  const [deliveredBefore, failedBefore] = bars[MINUTES - 2];
  setText(byId("delivered-rate"), number(delivered));
  setText(byId("failed-rate"), number(failed));
  setText(byId("delivered-sub"), `${number(deliveredBefore)} the minute before`);
  setText(byId("failed-sub"), `${number(failedBefore)} the minute before`);

  const chart = byId("rates-chart");
  if (!chart.firstChild) fillRatesChart(chart);
  const most = Math.max(1, ...bars.map(([one, other]) => one + other));
  setText(byId("rates-top"), most > 1 ? `highest ${number(most)} a minute` : "");
  chart.setAttribute("aria-label", `Delivered and failed in each of the last 60 minutes; ${number(most)} in the busiest`);
  bars.forEach(([delivered, failed], index) => {
    const [good, bad] = chart.children[index].children;
    const goodHeight = (delivered / most) * 47;
    const badHeight = (failed / most) * 47;
    setBar(good, 48 - goodHeight, goodHeight);
    setBar(bad, 48 - goodHeight - badHeight, badHeight);
    const minute = new Date((thisMinute - MINUTES + 1 + index) * 60_000).toISOString().slice(11, 16);
    setText(chart.children[index].lastChild, `${minute} UTC: ${number(delivered)} delivered, ${number(failed)} failed`);
  });
}

function fillRatesChart(chart) {
  for (let index = 0; index < MINUTES; index++) {
    const x = index * 4 + 0.5;
    const [good, bad] = ["delivered", "failed"].map((name) => svg("rect", { class: name, x, width: 3 }));
    chart.append(svg("g", {}, good, bad, svg("title", {})));
  }
}

function setBar(bar, y, height) {
  bar.setAttribute("y", y.toFixed(2));
  bar.setAttribute("height", height.toFixed(2));
}

function drawAcks(acks) {
  const chart = byId("ack-chart");
  chart.parentElement.hidden = acks === null;
  if (!acks?.length) {
    setText(byId("ack"), "–");
    setText(byId("ack-sub"), acks === null ? "not in the table" : "none yet");
    return;
  }
  const sorted = [...acks].sort((one, other) => one - other);
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => sorted[Math.ceil(share * sorted.length) - 1]);
  setText(byId("ack"), `${milliseconds(p50)} ms`);
  setText(byId("ack-sub"), `p50 of ${acks.length}; p95 ${milliseconds(p95)}, p99 ${milliseconds(p99)}`);

  // Logarithmic: one slow answer must not flatten the others.
  const low = Math.log(Math.max(0.1, sorted[0]) * 0.8);
  const high = Math.log(Math.max(0.2, sorted[sorted.length - 1]) * 1.2);
  const y = (ack) => (48 - ((Math.log(Math.max(0.1, ack)) - low) / (high - low)) * 48).toFixed(1);
  if (!chart.firstChild) {
    chart.append(...["p50", "p95", "p99", "dots"].map((name) => svg("path", { class: name })));
  }
  const [line50, line95, line99, dots] = chart.children;
  for (const [line, value] of [[line50, p50], [line95, p95], [line99, p99]]) line.setAttribute("d", `M0 ${y(value)}H200`);
  // Lines of zero length with round ends: these dots stay round when the chart is stretched.
  dots.setAttribute("d", acks.map((ack, index) => `M${200 - acks.length + index + 0.5} ${y(ack)}h0`).join(""));
  setText(byId("ack-from"), `${acks.length} ago`);
  setText(byId("ack-scale"), `${milliseconds(sorted[0])} to ${milliseconds(sorted[sorted.length - 1])} ms, log`);
  setText(byId("ack-to"), "now");
}
