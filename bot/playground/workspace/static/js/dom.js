// Builds DOM nodes; the only way that data reaches the page, so nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(node, name, value);
  append(node, children);
  return node;
}

function setProp(node, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
  } else if (name === "data") {
    for (const [key, item] of Object.entries(value)) if (item !== undefined && item !== null) node.dataset[key] = item;
  } else if (name === "vars") {
    for (const [key, item] of Object.entries(value)) node.style.setProperty(key, item);
  } else if (name === "value") {
    node.value = value;
  } else {
    node.setAttribute(name, value === true ? "" : String(value));
  }
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
}

export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

const shown = new WeakMap();

// Whether a part must be drawn anew; one that stays keeps its focus, its open menu and what was typed.
export function hasChanged(root, ...what) {
  const mark = JSON.stringify(what);
  if (shown.get(root) === mark) return false;
  shown.set(root, mark);
  return true;
}

const PATHS = {
  menu: "M3 5h14M3 10h14M3 15h14",
  close: "M5 5l10 10M15 5L5 15",
  more: "M4.500 10h.01M10 10h.01M15.500 10h.01",
  thread: "M4 4h12v9H9l-4 3.500V13H4z",
  send: "M3 10l14-6-4.500 13-3-5.500z",
  down: "M5 8l5 5 5-5",
  arrow: "M10 4v12M5 11l5 5 5-5",
  back: "M12 4l-6 6 6 6",
  traffic: "M3 7h12l-3-3M17 13H5l3 3",
  sun: "M10 6.500a3.500 3.500 0 1 0 0 7a3.500 3.500 0 1 0 0-7M10 2v1.500M10 16.500V18M2 10h1.500M16.500 10H18M4.300 4.300l1 1M14.700 14.700l1 1M15.700 4.300l-1 1M5.300 14.700l-1 1",
  moon: "M16 12.200A6.800 6.800 0 0 1 7.800 4a6.600 6.600 0 1 0 8.200 8.200z",
  eye: "M2.500 10.500C4.500 6.500 7 5 10 5s5.500 1.500 7.500 5.500C15.500 13.500 13 15 10 15s-5.500-1.500-7.500-4.500zM10 8a2.300 2.300 0 1 0 0 4.600a2.300 2.300 0 1 0 0-4.600",
  link: "M11.500 4H16v4.500M16 4l-7 7M8 5H4.500v10.500H15V12",
  warn: "M10 3.500l7.500 13h-15zM10 8.500v3.500M10 14.200h.01",
  check: "M4 10.500l4 4 8-9",
  lock: "M5.500 9h9v7.500h-9zM7 9V6.500a3 3 0 0 1 6 0V9",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

export function isSafeLink(url) {
  return /^(https?:\/\/|mailto:)/i.test(url);
}

export function link(url, ...children) {
  if (!isSafeLink(url)) return h("span", {}, children);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, children);
}
