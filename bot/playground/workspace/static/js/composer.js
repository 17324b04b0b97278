// The field where a person writes: messages, replies and slash commands with their hints.

import { fill, h, icon } from "./dom.js";
import { say } from "./words.js";

export class Composer {
  // `calls` are {send(text), command(name, rest)}; each answers null, or the sentence to show.
  constructor(id, calls, { inThread = false } = {}) {
    this.calls = calls;
    this.inThread = inThread;
    this.commands = [];
    this.id = id;
    this.at = -1;
    this.list = h("div", { class: "suggestions", id: `${id}-list`, role: "listbox", "aria-label": say("commands"), hidden: true });
    this.hint = h("div", { class: "composer-hint", id: `${id}-hint`, hidden: true });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.field = h("textarea", { id, rows: "1", "aria-controls": `${id}-list`, "aria-autocomplete": "list", "aria-describedby": `${id}-hint ${id}-keys`, autocomplete: "off" });
    this.button = h("button", { class: "send", type: "button", disabled: true, on: { click: () => this.send() } }, icon("send"));
    this.keys = h("p", { class: "composer-keys", id: `${id}-keys` });
    this.field.addEventListener("input", () => {
      this.problem.textContent = "";
      this.typed();
    });
    this.field.addEventListener("keydown", (event) => this.key(event));
    this.field.addEventListener("blur", () => this.suggest([]));
    this.node = h("div", { class: "composer" }, this.list, this.hint, h("div", { class: "composer-box" }, this.field, this.button), this.problem, this.keys);
  }

  draw({ placeholder, commands, refusal }) {
    this.commands = commands;
    this.field.placeholder = refusal || placeholder;
    this.field.setAttribute("aria-label", placeholder);
    this.field.disabled = Boolean(refusal);
    this.button.setAttribute("aria-label", say("send"));
    this.list.setAttribute("aria-label", say("commands"));
    this.keys.textContent = say("composerKeys");
    this.typed();
  }

  empty() {
    this.field.value = "";
    this.problem.textContent = "";
    this.typed();
  }

  typed() {
    const text = this.field.value;
    // An empty field stays one line: a long placeholder must not stretch it.
    this.field.style.height = "auto";
    if (text) this.field.style.height = `${Math.min(this.field.scrollHeight, 200)}px`;
    this.button.disabled = !text.trim() || this.field.disabled;
    const isCommand = !this.inThread && text.startsWith("/");
    const isNaming = isCommand && !/\s/.test(text);
    this.suggest(isNaming && document.activeElement === this.field ? this.commands.filter(({ command }) => command.startsWith(text)) : []);
    const named = isCommand && !isNaming && this.commands.find(({ command }) => command === text.split(/\s/)[0]);
    this.hint.hidden = !named;
    if (named) fill(this.hint, h("strong", {}, named.command), " ", h("span", { class: "usage" }, named.usage_hint || ""), h("small", {}, named.description || ""));
  }

  suggest(found) {
    this.found = found;
    this.at = found.length ? 0 : -1;
    this.list.hidden = !found.length;
    fill(
      this.list,
      h("div", { class: "suggestions-title" }, say("commands")),
      found.map((entry, index) => this.drawSuggestion(entry, index)),
    );
    this.mark();
  }

  drawSuggestion(entry, index) {
    const take = (event) => {
      event.preventDefault();
      this.complete(entry);
    };
    return h("div", { class: "suggestion", role: "option", id: `${this.id}-option-${index}`, data: { command: entry.command }, on: { pointerdown: take } }, h("span", {}, h("strong", {}, entry.command), " ", h("span", { class: "usage" }, entry.usage_hint || "")), h("small", {}, entry.description || ""));
  }

  mark() {
    [...this.list.querySelectorAll("[role=option]")].forEach((option, index) => option.setAttribute("aria-selected", String(index === this.at)));
    if (this.at >= 0) this.field.setAttribute("aria-activedescendant", `${this.id}-option-${this.at}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  complete(entry) {
    this.field.value = `${entry.command} `;
    this.field.focus();
    this.typed();
  }

  key(event) {
    // While an input method is composing, Enter belongs to it.
    if (event.isComposing || event.keyCode === 229) return;
    const open = this.found?.length;
    const exact = open && this.found[this.at]?.command === this.field.value;
    if (open && ["ArrowDown", "ArrowUp"].includes(event.key)) {
      this.at = (this.at + (event.key === "ArrowDown" ? 1 : -1) + open) % open;
      this.mark();
    } else if (open && (event.key === "Tab" || (event.key === "Enter" && !exact))) {
      this.complete(this.found[this.at]);
    } else if (open && event.key === "Escape") {
      this.suggest([]);
    } else if (event.key === "Enter" && !event.shiftKey) {
      this.send();
    } else {
      return;
    }
    event.preventDefault();
  }

  async send() {
    const text = this.field.value.trim();
    if (!text || this.sending) return;
    this.sending = true;
    this.empty();
    this.node.setAttribute("aria-busy", "true");
    const refusal = await (text.startsWith("/") ? this.sendCommand(text) : this.calls.send(text));
    this.node.removeAttribute("aria-busy");
    this.sending = false;
    if (!refusal) return;
    // What could not be sent comes back, unless the next words are already being typed.
    if (!this.field.value) this.field.value = text;
    this.typed();
    this.problem.textContent = refusal;
  }

  async sendCommand(text) {
    const [command] = text.split(/\s/);
    if (this.inThread) return say("commandInThread", { command });
    if (!this.commands.some((entry) => entry.command === command)) return say("unknownCommand", { command });
    return this.calls.command(command, text.slice(command.length).trim());
  }
}
