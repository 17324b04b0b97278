// Draws a modal's input blocks and checks what was typed, as Slack does before it sends anything.

import { h } from "./dom.js";
import { choiceControl, dateControl, selectControl } from "./elements.js";
import { plainText } from "./mrkdwn.js";
import { say } from "./words.js";

const CHOICES = ["checkboxes", "radio_buttons", "multi_static_select", "multi_users_select"];

// What has been typed into one view; a redraw keeps it where block_id and action_id stay the same.
export class Form {
  constructor(keptValues = {}) {
    this.keptValues = keptValues;
    this.controls = [];
  }

  kept(blockId, element) {
    const value = this.keptValues[blockId]?.[element.action_id];
    return value?.type === element.type ? value : undefined;
  }

  hold(blockId, element, control) {
    this.controls.push({ blockId, element, ...control });
  }

  values() {
    const values = {};
    for (const { blockId, element, read } of this.controls) {
      values[blockId] = { ...values[blockId], [element.action_id]: { type: element.type, ...read() } };
    }
    return values;
  }

  problems() {
    const problems = {};
    for (const { blockId, check } of this.controls) {
      const problem = check?.();
      if (problem) problems[blockId] = problem;
    }
    return problems;
  }

  showProblems(problems) {
    let first = null;
    for (const { blockId, showProblem, focus } of this.controls) {
      showProblem?.(problems[blockId] || "");
      if (showProblem && problems[blockId]) first ??= focus;
    }
    first?.focus();
    first?.scrollIntoView({ block: "center" });
  }
}

const MAKE = {
  plain_text_input: textControl,
  number_input: numberControl,
  static_select: selectControl,
  users_select: selectControl,
  datepicker: dateControl,
  ...Object.fromEntries(CHOICES.map((type) => [type, choiceControl])),
};

export function drawInput(block, desk) {
  const { element } = block;
  const make = MAKE[element.type];
  if (!make) return h("div", { class: "unsupported" }, say("unsupported", { type: element.type }));
  const id = `${desk.idPrefix}-${desk.blockId}-${element.action_id}`;
  const control = make(element, desk, id);
  const label = [plainText(block.label), block.optional && h("span", { class: "optional" }, ` (${say("optional")})`)];
  const hint = block.hint && h("p", { class: "hint", id: `${id}-hint` }, plainText(block.hint));
  const problem = h("p", { class: "problem", id: `${id}-problem`, "aria-live": "assertive" });
  const isGroup = CHOICES.includes(element.type);
  const described = `${id}-problem${hint ? ` ${id}-hint` : ""}`;
  const bearer = isGroup ? h("fieldset", {}, h("legend", { class: "label" }, label), control.node) : control.focus;
  bearer.setAttribute("aria-describedby", described);
  bearer.dataset.actionId = element.action_id;
  if (!isGroup) {
    bearer.id = id;
    if (!block.optional) bearer.setAttribute("aria-required", "true");
  }
  if (element.focus_on_load) control.focus?.setAttribute("autofocus", "");
  const showProblem = (said) => {
    problem.textContent = said;
    if (said) bearer.setAttribute("aria-invalid", "true");
    else bearer.removeAttribute("aria-invalid");
  };
  const check = () => (control.isEmpty() ? (block.optional ? null : say("required")) : control.check?.() || null);
  desk.form.hold(desk.blockId, element, { ...control, check, showProblem });
  if (block.dispatch_action) dispatchOnChange(control, element, desk);
  return h("div", {}, isGroup ? bearer : [h("label", { class: "label", for: id }, label), control.node], control.counter, problem, hint);
}

function dispatchOnChange(control, element, desk) {
  const send = () => desk.dispatch({ block_id: desk.blockId, action_id: element.action_id, type: element.type, ...control.read() });
  const triggers = element.dispatch_action_config?.trigger_actions_on || ["on_enter_pressed"];
  if (!element.type.endsWith("_input")) control.node.addEventListener("change", send);
  else if (triggers.includes("on_character_entered")) control.focus.addEventListener("input", send);
  else control.focus.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && send());
}

function placeholderOf(element) {
  return element.placeholder ? plainText(element.placeholder) : null;
}

// Counted in characters, not in UTF-16 units, so that an emoji or a rare kanji is one.
function lengthOf(text) {
  return [...text].length;
}

function textControl(element, desk) {
  const tag = element.multiline ? "textarea" : "input";
  const input = h(tag, { class: "field", placeholder: placeholderOf(element), rows: element.multiline ? 4 : null, type: element.multiline ? null : "text", autocomplete: "off" });
  const kept = desk.form.kept(desk.blockId, element);
  input.value = (kept ? kept.value : element.initial_value) ?? "";
  const { min_length: least, max_length: most } = element;
  const counter = most ? h("p", { class: "counter" }) : null;
  const count = () => {
    const n = lengthOf(input.value);
    if (!counter) return;
    counter.textContent = say("count", { n, max: most });
    counter.classList.toggle("counter-over", n > most);
  };
  input.addEventListener("input", count);
  count();
  const check = () => {
    const n = lengthOf(input.value);
    if (least && n < least) return say("tooShort", { n: least });
    return most && n > most ? say("tooLong", { n: most }) : null;
  };
  return { node: input, focus: input, counter, check, read: () => ({ value: input.value === "" ? null : input.value }), isEmpty: () => input.value.trim() === "" };
}

function numberControl(element, desk) {
  const kept = desk.form.kept(desk.blockId, element);
  // Not type=number: that hides what was typed when it is not a number, and changes on a scroll.
  const input = h("input", { class: "field field-number", type: "text", inputmode: element.is_decimal_allowed ? "decimal" : "numeric", placeholder: placeholderOf(element), autocomplete: "off" });
  input.value = (kept ? kept.value : element.initial_value) ?? "";
  const check = () => {
    const typed = input.value.trim();
    if (!/^-?\d+(\.\d+)?$/.test(typed)) return say("notNumber");
    if (!element.is_decimal_allowed && typed.includes(".")) return say("notWhole");
    if (element.min_value !== undefined && Number(typed) < Number(element.min_value)) return say("below", { n: element.min_value });
    return element.max_value !== undefined && Number(typed) > Number(element.max_value) ? say("above", { n: element.max_value }) : null;
  };
  return { node: input, focus: input, check, read: () => ({ value: input.value.trim() || null }), isEmpty: () => input.value.trim() === "" };
}
