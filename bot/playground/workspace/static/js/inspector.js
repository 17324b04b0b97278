// A drawer that lists what the bot and the workspace said to each other.

import { clockSeconds } from "./dates.js";
import { fill, h, hasChanged, icon } from "./dom.js";
import { currentLanguage, say } from "./words.js";

const KEPT = 500;

export class Inspector {
  // `fetchAfter(n)` answers {entries}; `close` closes the drawer.
  constructor(root, fetchAfter, close) {
    this.root = root;
    this.fetchAfter = fetchAfter;
    this.close = close;
    this.entries = [];
    this.last = 0;
    this.chosen = null;
    this.words = "";
    this.onlyErrors = false;
    this.rows = h("tbody");
    this.scroller = h("div", { class: "traffic-list", tabindex: "0" });
    this.detail = h("div", { class: "traffic-detail" });
  }

  get isOpen() {
    return !this.root.hidden;
  }

  async refresh() {
    if (!this.isOpen || this.loading) return;
    this.loading = true;
    const answer = await this.fetchAfter(this.last);
    this.loading = false;
    if (!answer.entries?.length) return;
    this.entries = [...this.entries, ...answer.entries].slice(-KEPT);
    this.last = this.entries.at(-1).n;
    this.drawRows();
  }

  // A workspace that started anew counts from one again.
  reset() {
    this.entries = [];
    this.last = 0;
  }

  draw() {
    if (!this.isOpen || !hasChanged(this.root, currentLanguage())) return;
    this.root.setAttribute("aria-label", say("inspector"));
    const filter = h("input", { class: "field", type: "search", value: this.words, placeholder: say("filter"), "aria-label": say("filter"), on: { input: (event) => this.narrow({ words: event.target.value }) } });
    const only = h("label", { class: "choice" }, h("input", { type: "checkbox", checked: this.onlyErrors, on: { change: (event) => this.narrow({ onlyErrors: event.target.checked }) } }), say("onlyErrors"));
    const closer = h("button", { class: "icon-button", type: "button", "aria-label": say("close"), on: { click: this.close } }, icon("close"));
    const heads = ["at", "direction", "method", "status", "ms", "error"].map((key) => h("th", { scope: "col" }, say(key)));
    fill(this.scroller, h("table", {}, h("thead", {}, h("tr", {}, heads)), this.rows));
    fill(this.root, h("div", { class: "pane-head inspector-head" }, h("h2", {}, say("inspector")), h("span", { class: "topic" }, say("inspectorHelp")), filter, only, closer), h("div", { class: "traffic" }, this.scroller, this.detail));
    this.drawRows();
    this.drawDetail();
  }

  narrow({ words = this.words, onlyErrors = this.onlyErrors }) {
    this.words = words;
    this.onlyErrors = onlyErrors;
    this.drawRows();
  }

  drawRows() {
    const stick = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 40;
    const wanted = this.words.toLowerCase();
    const shown = this.entries.filter((entry) => (!this.onlyErrors || !entry.ok) && `${entry.method} ${entry.error || ""}`.toLowerCase().includes(wanted));
    fill(this.rows, shown.length ? shown.map((entry) => this.drawRow(entry)) : h("tr", {}, h("td", { class: "empty", colspan: "6" }, say("noTraffic"))));
    if (stick) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  drawRow(entry) {
    const choose = () => {
      this.chosen = entry;
      this.drawRows();
      this.drawDetail();
      this.rows.querySelector(`[data-n="${entry.n}"] button`)?.focus({ preventScroll: true });
    };
    const seconds = typeof entry.at === "number" ? entry.at * 1000 : entry.at;
    return h(
      "tr",
      { class: entry.ok ? "" : "traffic-bad", data: { n: String(entry.n), method: entry.method }, "aria-selected": String(this.chosen?.n === entry.n), on: { click: choose } },
      h("td", {}, clockSeconds(new Date(seconds))),
      h("td", { class: `way-${entry.direction}` }, say(entry.direction === "in" ? "inbound" : "outbound")),
      h("td", {}, h("button", { class: "traffic-method", type: "button" }, entry.method)),
      h("td", { class: "number" }, entry.status ? String(entry.status) : "—"),
      h("td", { class: "number" }, `${Math.round(entry.ms)} ms`),
      h("td", { class: "traffic-error" }, entry.error || ""),
    );
  }

  drawDetail() {
    const entry = this.chosen;
    if (!entry) return fill(this.detail, h("p", { class: "empty" }, say("pickTraffic")));
    const shown = (label, value) => h("section", {}, h("h3", {}, label), h("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2)));
    return fill(this.detail, h("p", { class: "traffic-name" }, entry.method), shown(say("request"), entry.request ?? null), shown(say("response"), entry.response ?? null));
  }
}
