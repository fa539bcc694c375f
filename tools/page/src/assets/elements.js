// Finds elements, creates them, fills them with text (never with markup), and draws once per frame.

import { timeWords } from "./words.js";

export const byId = (id) => document.getElementById(id);

let drawing = 0;
const undrawn = new Set();

// Draws once, in the next frame, however often it is requested.
export function soon(draw) {
  undrawn.add(draw);
  drawing ||= requestAnimationFrame(() => {
    const draws = [...undrawn];
    undrawn.clear();
    drawing = 0;
    for (const draw of draws) draw();
  });
}

export function element(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function option(value, label = value) {
  const words = label.length > 60 ? `${label.slice(0, 60)}…` : label;
  return element("option", { value }, words);
}

export function ensureOption(select, value) {
  if (!Array.from(select.options).some((option) => option.value === value)) select.append(option(value));
}

export function copy(template) {
  return byId(template).content.firstElementChild.cloneNode(true);
}

// One copy of the template for each item; existing nodes are reused in place.
export function repeat(container, template, items, fill) {
  while (container.children.length > items.length) container.lastElementChild.remove();
  while (container.children.length < items.length) container.append(copy(template));
  items.forEach((item, index) => fill(container.children[index], item));
}

// Writes into the existing text node, and only if the text differs.
export function setText(node, text) {
  const only = node.firstChild;
  if (only?.nodeType === Node.TEXT_NODE && !only.nextSibling) {
    if (only.data !== text) only.data = text;
  } else if (only || text !== "") {
    node.textContent = text;
  }
}

// For text that the layout may cut: the title has all of it.
export function setCut(node, text) {
  setText(node, text);
  if (node.title !== text) node.title = text;
}

export function setState(node, of, words) {
  node.dataset.state = of;
  setText(node.lastElementChild, words);
}

export function setTime(node, ms) {
  setText(node, ms === null ? "not yet" : timeWords(ms));
  node.title = ms === null ? "" : new Date(ms).toLocaleString();
}
