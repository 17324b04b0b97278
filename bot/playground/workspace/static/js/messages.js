// Draws a list of messages, keeping what has not changed and staying at the bottom if it was there.

import { drawBlocks } from "./blocks.js";
import { clock, dayAndClock, dayKey, dayName, full, toDate } from "./dates.js";
import { fill, h, icon } from "./dom.js";
import { mrkdwn } from "./mrkdwn.js";
import { avatar, nameOf } from "./people.js";
import { currentLanguage, say } from "./words.js";

const NEAR_BOTTOM = 60;
const SAME_SPEECH = 300;

export class MessageList {
  // `calls` are {act(message, payload), openThread(ts), forgive(ts), nearBottom(isThere)}.
  constructor(root, calls, { inThread = false } = {}) {
    this.root = root;
    this.calls = calls;
    this.inThread = inThread;
    this.drawn = new Map();
    this.pinned = true;
    root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    // A drawer that opens below must not hide the newest message.
    new ResizeObserver(() => this.pinned && this.toBottom()).observe(root);
    root.addEventListener("keydown", (event) => this.walk(event));
  }

  isAtBottom() {
    return this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < NEAR_BOTTOM;
  }

  scrolled() {
    this.pinned = this.isAtBottom();
    this.calls.nearBottom?.(this.pinned);
  }

  toBottom() {
    this.pinned = true;
    this.root.scrollTop = this.root.scrollHeight;
  }

  // A list that fills anew begins at its end.
  clear() {
    this.pinned = true;
    this.drawn.clear();
    fill(this.root);
  }

  // What is being read stays where it is while more appears above it.
  keepBelow(draw) {
    const { root } = this;
    const below = root.scrollHeight - root.scrollTop;
    draw();
    root.scrollTop = root.scrollHeight - below;
  }

  // `model` is {messages, people, failures, newFrom, empty, older}; `older` shows more of the past.
  draw(model) {
    const stick = this.pinned;
    const top = this.root.scrollTop;
    const focus = this.rememberFocus();
    const nodes = [];
    if (model.older) nodes.push(h("button", { class: "button older", type: "button", on: { click: model.older } }, say("older")));
    const drawn = new Map();
    model.messages.forEach((message, index) => {
      const before = model.messages[index - 1];
      nodes.push(...this.dividers(message, before, index, model));
      const key = `${message.ts}/${message.ephemeral ? "e" : ""}`;
      const shape = { follows: this.follows(message, before, index, model), failure: model.failures.get(message.ts) };
      const mark = JSON.stringify([message, shape, currentLanguage(), model.people.version]);
      const old = this.drawn.get(key);
      const item = old?.mark === mark ? old : { mark, node: this.drawMessage(message, shape, model) };
      drawn.set(key, item);
      nodes.push(item.node);
    });
    this.drawn = drawn;
    if (!model.messages.length) nodes.push(h("p", { class: "empty" }, model.empty));
    this.replace(nodes);
    focus();
    if (stick) this.toBottom();
    else this.root.scrollTop = top;
  }

  // Moves only what must move: a node that stays in place keeps its focus and its open lists.
  replace(nodes) {
    const wanted = new Set(nodes);
    for (const child of [...this.root.childNodes]) if (!wanted.has(child)) child.remove();
    nodes.forEach((node, index) => {
      if (this.root.childNodes[index] !== node) this.root.insertBefore(node, this.root.childNodes[index] || null);
    });
  }

  rememberFocus() {
    const active = document.activeElement;
    if (!active || !this.root.contains(active) || active === this.root) return () => {};
    const { actionId } = active.dataset;
    const ts = active.closest("[data-ts]")?.dataset.ts;
    return () => {
      if (this.root.contains(document.activeElement) || !ts) return;
      const message = this.root.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
      const same = actionId && message?.querySelector(`[data-action-id="${CSS.escape(actionId)}"]`);
      (same || message || this.root).focus({ preventScroll: true });
    };
  }

  dividers(message, before, index, model) {
    const date = toDate(message.ts);
    const dividers = [];
    const isNewDay = !before || dayKey(toDate(before.ts)) !== dayKey(date);
    if (isNewDay && !this.inThread) dividers.push(h("div", { class: "divider-day" }, h("span", {}, dayName(date))));
    if (index === model.newFrom) dividers.push(h("div", { class: "divider-new" }, h("span", {}, say("newMessages"))));
    if (this.inThread && index === 1) {
      dividers.push(h("div", { class: "divider-replies" }, h("span", {}, say("replies", { n: model.messages.length - 1 }))));
    }
    return dividers;
  }

  follows(message, before, index, model) {
    if (!before || index === model.newFrom || (this.inThread && index === 1)) return false;
    const isPlain = !message.blocks?.length && !before.blocks?.length && !message.ephemeral && !before.ephemeral;
    const isSame = before.user === message.user && before.username === message.username && !before.reply_count;
    return isPlain && isSame && Number(message.ts) - Number(before.ts) < SAME_SPEECH && dayKey(toDate(before.ts)) === dayKey(toDate(message.ts));
  }

  drawMessage(message, { follows, failure }, model) {
    const { people } = model;
    const user = people.users.get(message.user);
    const name = message.username || (user && nameOf(user)) || say("unknownUser");
    const date = toDate(message.ts);
    const id = `${this.inThread ? "t" : "m"}-${message.ts.replace(".", "-")}`;
    const time = h("time", { class: "message-time", datetime: date.toISOString(), title: full(date) }, clock(date));
    const isBot = message.is_bot || user?.is_bot;
    const head = h("div", { class: "message-head" }, h("span", { class: "message-name", id }, name), isBot && h("span", { class: "app-tag" }, say("app")), time);
    const classes = ["message", follows && "message-follows", message.ephemeral && "message-ephemeral", failure && "message-failed"];
    return h(
      "article",
      { class: classes.filter(Boolean).join(" "), data: { ts: message.ts, ephemeral: message.ephemeral ? "true" : undefined }, tabindex: "-1", "aria-labelledby": id },
      message.ephemeral && h("div", { class: "only-you" }, icon("eye"), say("onlyYou")),
      h("div", { class: "message-side" }, follows ? time.cloneNode(true) : avatar(isBot ? { ...user, is_bot: true } : user)),
      h("div", { class: "message-main" }, head, this.drawBody(message, model), failure && this.drawFailure(message, failure), this.drawReplies(message, model)),
      !message.ephemeral && !this.inThread && this.drawTools(message),
    );
  }

  drawBody(message, model) {
    const files = (message.files || []).map((file) => this.drawFile(file));
    if (!files.length) return this.drawWords(message, model);
    return h("div", {}, message.text && this.drawWords(message, model), h("div", { class: "message-files" }, files));
  }

  drawFile(file) {
    const link = { href: file.url, target: "_blank", rel: "noopener" };
    if (!file.is_image) return h("a", link, file.title);
    return h("figure", { class: "message-file" }, h("figcaption", {}, file.title), h("a", link, h("img", { src: file.url, alt: file.alt, loading: "lazy" })));
  }

  drawWords(message, model) {
    if (!message.blocks?.length) {
      const edited = message.edited && h("span", { class: "edited" }, ` ${say("edited")}`);
      return h("div", { class: "prose message-text" }, mrkdwn(message.text || "", model.people, { linkBare: true }), edited);
    }
    const desk = { people: model.people, idPrefix: `${this.inThread ? "t" : "m"}${message.ts}`, dispatch: (payload) => this.calls.act(message, payload) };
    return h("div", { class: "blocks" }, drawBlocks(message.blocks, desk));
  }

  drawFailure(message, reason) {
    const dismiss = h("button", { class: "icon-button", type: "button", "aria-label": say("dismiss"), on: { click: () => this.calls.forgive(message.ts) } }, icon("close"));
    return h("div", { class: "failure", role: "alert" }, icon("warn"), h("div", {}, h("strong", {}, say("oops")), h("span", { class: "failure-reason" }, reason)), dismiss);
  }

  drawReplies(message, model) {
    if (this.inThread || !message.reply_count || message.ephemeral) return null;
    const last = message.latest_reply && h("span", { class: "replies-last" }, say("lastReply", { time: dayAndClock(toDate(message.latest_reply)) }));
    const bot = [...model.people.users.values()].find((user) => user.is_bot);
    return h("button", { class: "replies", type: "button", data: { thread: message.ts }, on: { click: () => this.calls.openThread(message.ts) } }, avatar(bot, "small"), h("span", { class: "replies-count" }, say("replies", { n: message.reply_count })), last);
  }

  drawTools(message) {
    const reply = h("button", { class: "icon-button", type: "button", title: say("replyInThread"), "aria-label": say("replyInThread"), on: { click: () => this.calls.openThread(message.ts) } }, icon("thread"));
    return h("div", { class: "message-tools" }, reply);
  }

  walk(event) {
    if (!["ArrowDown", "ArrowUp"].includes(event.key) || !(event.target === this.root || event.target.matches("article"))) return;
    const all = [...this.root.querySelectorAll("article")];
    const at = all.indexOf(event.target);
    const next = at < 0 ? all.at(-1) : all[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (!next) return;
    event.preventDefault();
    next.focus();
  }
}
