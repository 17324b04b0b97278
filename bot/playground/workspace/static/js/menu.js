// Opens a small menu at a button, with arrow keys, Escape and focus given back.

import { h, isSafeLink } from "./dom.js";

let open = null;

export function closeMenu(giveFocusBack = false) {
  if (!open) return;
  const { box, anchor, stop } = open;
  open = null;
  stop.abort();
  box.remove();
  anchor.setAttribute("aria-expanded", "false");
  if (giveFocusBack) anchor.focus();
}

export function openMenu(anchor, items, label) {
  if (open?.anchor === anchor) return closeMenu(true);
  const choose = (item) => {
    closeMenu(true);
    if (item.url && isSafeLink(item.url)) window.open(item.url, "_blank", "noopener");
    item.choose();
  };
  const buttons = items.map((item) => h("button", { class: "menu-item", type: "button", role: "menuitem", tabindex: "-1", data: { value: item.value }, on: { click: () => choose(item) } }, h("span", {}, item.label), item.detail && h("small", {}, item.detail)));
  return openPopover(anchor, h("div", { class: "menu", role: "menu", "aria-label": label }, buttons), buttons);
}

// Puts any box beside its button; `stops` are what the arrow keys walk through.
export function openPopover(anchor, box, stops) {
  closeMenu();
  const stop = new AbortController();
  open = { anchor, box, stop };
  // Inside an open dialog only the dialog's own children can be reached.
  (anchor.closest("dialog") || document.body).append(box);
  place(anchor, box);
  anchor.setAttribute("aria-expanded", "true");
  const { signal } = stop;
  document.addEventListener("pointerdown", (event) => !box.contains(event.target) && !anchor.contains(event.target) && closeMenu(), { signal });
  window.addEventListener("resize", () => place(anchor, box), { signal });
  document.addEventListener("scroll", (event) => !box.contains(event.target) && closeMenu(), { signal, capture: true });
  document.addEventListener("keydown", (event) => walk(event, stops), { signal, capture: true });
  (stops.find((item) => item.getAttribute("aria-checked") === "true") || stops[0])?.focus({ preventScroll: true });
  return box;
}

function walk(event, stops) {
  const steps = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  if (event.key === "Escape") {
    closeMenu(true);
  } else if (event.key === "Tab") {
    closeMenu();
    return;
  } else if (event.key in steps) {
    const at = stops.indexOf(document.activeElement) + steps[event.key];
    const next = Number.isFinite(at) ? (at + stops.length) % stops.length : at < 0 ? 0 : stops.length - 1;
    stops[next].focus();
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function place(anchor, box) {
  const button = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const gap = 6;
  const left = Math.max(gap, Math.min(button.left, window.innerWidth - width - gap));
  const below = button.bottom + gap + height <= window.innerHeight;
  const top = below ? button.bottom + gap : Math.max(gap, button.top - gap - height);
  box.style.left = `${left}px`;
  box.style.top = `${top}px`;
}
