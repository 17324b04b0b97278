// Shows the acting person's modals, one upon another, and sends what is typed into them.

import { drawBlocks } from "./blocks.js";
import { fill, h, icon } from "./dom.js";
import { Form } from "./inputs.js";
import { plainNodes, plainText } from "./mrkdwn.js";
import { reasonFor } from "./reasons.js";
import { say } from "./words.js";

// The workspace counts its redrawings in front of the hash.
function revision(view) {
  return Number.parseInt(view.hash, 10) || 0;
}

export class Modals {
  // `calls` are {act, submit, close, people}; each answers what the workspace answered.
  constructor(calls) {
    this.calls = calls;
    this.stack = [];
    this.dialog = h("dialog", { class: "dialog dialog-modal", role: "dialog", "aria-modal": "true" });
    this.dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.close();
    });
    document.body.append(this.dialog);
  }

  get top() {
    return this.stack.at(-1);
  }

  // The workspace tells which view is on top now; null says that none is left.
  show(view) {
    if (!view) {
      this.stack = [];
      return this.draw();
    }
    const at = this.stack.findIndex((layer) => layer.view.id === view.id);
    if (at >= 0) {
      const { form, view: old } = this.stack[at];
      // The same view comes by the stream and by the answer to a press: the older one must not win.
      if (at === this.stack.length - 1 && revision(view) <= revision(old)) return undefined;
      this.stack.splice(at);
      this.stack.push({ view, kept: form?.values() });
    } else {
      const below = this.stack.findIndex((layer) => layer.view.id === view.previous_view_id);
      this.stack.splice(below + 1);
      this.stack.push({ view, kept: view.state?.values });
    }
    return this.draw();
  }

  drop(viewId) {
    const at = this.stack.findIndex((layer) => layer.view.id === viewId);
    if (at < 0) return;
    this.stack.splice(at);
    this.draw();
  }

  redraw() {
    if (this.top) this.draw();
  }

  draw() {
    const { dialog, top } = this;
    if (!top) {
      if (dialog.open) dialog.close();
      fill(dialog);
      delete dialog.dataset.viewId;
      return;
    }
    const focused = dialog.contains(document.activeElement) ? document.activeElement.id : "";
    const sameView = dialog.dataset.viewId === top.view.id;
    const scrolled = sameView ? dialog.querySelector(".dialog-body")?.scrollTop : 0;
    dialog.dataset.viewId = top.view.id;
    dialog.dataset.callbackId = top.view.callback_id || "";
    dialog.setAttribute("aria-labelledby", `${top.view.id}-title`);
    // A layer that shows again after the one above it closed still holds what was typed into it.
    const form = new Form(top.form?.values() || top.kept);
    top.form = form;
    fill(dialog, this.drawLayer(top, form));
    if (!dialog.open) dialog.showModal();
    const target = (sameView && focused && document.getElementById(focused)) || dialog.querySelector("[autofocus]") || form.controls[0]?.focus || dialog.querySelector(".dialog-foot .button:last-child, .icon-button");
    target?.focus();
    dialog.querySelector(".dialog-body").scrollTop = scrolled;
  }

  drawLayer({ view }, form) {
    const desk = { people: this.calls.people(), form, idPrefix: view.id, dispatch: (payload) => this.act(view, form, payload) };
    const title = h("h2", { id: `${view.id}-title` }, plainNodes(view.title));
    const back = this.stack.length > 1 ? icon("back") : icon("close");
    const close = h("button", { class: "icon-button", type: "button", "aria-label": say("close"), on: { click: () => this.close() } }, back);
    const foot = [
      h("button", { class: "button", type: "button", data: { role: "close" }, on: { click: () => this.close() } }, view.close ? plainText(view.close) : say("cancel")),
      view.submit && h("button", { class: "button button-primary", type: "submit", disabled: view.submit_disabled, data: { role: "submit" } }, h("span", {}, plainText(view.submit))),
    ];
    const banner = h("div", { class: "dialog-banner", role: "alert", hidden: true });
    const body = h("div", { class: "dialog-body", tabindex: "-1" }, banner, drawBlocks(view.blocks, desk));
    const submit = (event) => {
      event.preventDefault();
      if (view.submit) this.submit(view, form);
    };
    return h("form", { class: "dialog-form", novalidate: true, on: { submit } }, h("div", { class: "dialog-head" }, title, close), body, h("div", { class: "dialog-foot" }, foot));
  }

  complain(said) {
    const banner = this.dialog.querySelector(".dialog-banner");
    if (!banner) return;
    banner.hidden = !said;
    fill(banner, said && icon("warn"), said && h("span", {}, said));
  }

  async act(view, form, payload) {
    const answer = await this.calls.act({ view_id: view.id, ...payload, state_values: form.values() });
    this.complain(answer.ok ? "" : `${say("oops")} — ${reasonFor(answer)}`);
  }

  async submit(view, form) {
    const button = this.dialog.querySelector("[data-role=submit]");
    if (button.getAttribute("aria-busy") === "true") return;
    const problems = form.problems();
    form.showProblems(problems);
    this.complain(Object.keys(problems).length ? say("fixErrors") : "");
    if (Object.keys(problems).length) return;
    button.setAttribute("aria-busy", "true");
    const answer = await this.calls.submit({ view_id: view.id, values: form.values() });
    button.removeAttribute("aria-busy");
    this.settle(view, answer);
  }

  settle(view, answer) {
    const layer = this.stack.find((one) => one.view.id === view.id);
    if (answer.response_action === "errors") {
      this.complain(say("fixErrors"));
      return layer?.form.showProblems(answer.errors || {});
    }
    if (!answer.ok) {
      if (answer.error === "view_not_found") this.show(answer.view ?? null);
      return this.complain(`${say("oops")} — ${reasonFor(answer)}`);
    }
    if (answer.response_action === "clear") return this.show(null);
    if (answer.response_action && answer.view) return this.show(answer.view);
    return this.drop(view.id);
  }

  close() {
    const layer = this.top;
    if (!layer) return;
    this.drop(layer.view.id);
    this.calls.close({ view_id: layer.view.id });
  }
}
