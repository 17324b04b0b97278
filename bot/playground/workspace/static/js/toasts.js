// Shows short notices that leave by themselves.

import { h, icon } from "./dom.js";
import { say } from "./words.js";

const STAY = 6000;

export function toast(text, kind = "plain") {
  const root = document.getElementById("toasts");
  const box = h("div", { class: `toast toast-${kind}` }, kind === "warn" && icon("warn"), h("span", {}, text));
  box.append(h("button", { class: "icon-button", type: "button", "aria-label": say("dismiss"), on: { click: () => box.remove() } }, icon("close")));
  root.append(box);
  setTimeout(() => box.remove(), STAY);
  return box;
}
