// Draws the elements a person can press or choose from, and says what was pressed.

import { h, icon, isSafeLink } from "./dom.js";
import { confirmed } from "./confirm.js";
import { openMenu } from "./menu.js";
import { plainNodes, plainText, textObject } from "./mrkdwn.js";
import { nameOf } from "./people.js";
import { say } from "./words.js";

const DRAW = {
  button: drawButton,
  overflow: drawOverflow,
  static_select: drawSelect,
  users_select: drawSelect,
  checkboxes: drawChoices,
  radio_buttons: drawChoices,
  multi_static_select: drawChoices,
  multi_users_select: drawChoices,
  datepicker: drawDate,
};

export function drawElement(element, desk) {
  const draw = DRAW[element.type];
  if (!draw) return h("span", { class: "unsupported" }, say("unsupported", { type: element.type }));
  return draw(element, desk);
}

function marks(element, desk) {
  return { actionId: element.action_id, blockId: desk.blockId };
}

// Asks first where the element has a confirm dialog; a press while the last one is under way is not sent.
async function press(node, element, desk, chosen) {
  if (node.getAttribute("aria-busy") === "true") return false;
  if (element.confirm && !(await confirmed(element.confirm, desk.people))) return false;
  node.setAttribute("aria-busy", "true");
  try {
    await desk.dispatch({ block_id: desk.blockId, action_id: element.action_id, type: element.type, ...chosen });
  } finally {
    node.removeAttribute("aria-busy");
  }
  return true;
}

function drawButton(element, desk) {
  const style = element.style ? `button-${element.style}` : "";
  const text = plainText(element.text);
  const props = {
    class: `button ${style}`,
    data: marks(element, desk),
    "aria-label": element.accessibility_label || null,
    "aria-haspopup": /(…|\.\.\.)$/.test(text) || element.confirm ? "dialog" : null,
    on: { click: (event) => press(event.currentTarget, element, desk, element.value === undefined ? {} : { value: element.value }) },
  };
  if (element.url && isSafeLink(element.url)) {
    return h("a", { ...props, href: element.url, target: "_blank", rel: "noopener noreferrer" }, h("span", {}, plainNodes(element.text)), icon("link"));
  }
  return h("button", { ...props, type: "button" }, h("span", {}, plainNodes(element.text)));
}

function drawOverflow(element, desk) {
  const button = h("button", { class: "button overflow", type: "button", data: marks(element, desk), "aria-label": say("moreActions"), "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more"));
  button.addEventListener("click", () => {
    const items = element.options.map((option) => ({
      label: plainText(option.text),
      detail: option.description && plainText(option.description),
      value: option.value,
      url: option.url,
      choose: () => press(button, element, desk, { selected_option: option }),
    }));
    openMenu(button, items, say("moreActions"));
  });
  return button;
}

// Every control that holds a value: {node, read, focus}; `read` gives what Slack would send.
function drawSelect(element, desk) {
  const control = selectControl(element, desk, `${desk.idPrefix}-${desk.blockId}-${element.action_id}`);
  const { select } = control;
  Object.assign(select.dataset, marks(element, desk));
  select.setAttribute("aria-label", element.placeholder ? plainText(element.placeholder) : say("choose"));
  desk.form?.hold(desk.blockId, element, control);
  let last = select.value;
  select.addEventListener("change", async () => {
    if (await press(select, element, desk, control.read())) last = select.value;
    else select.value = last;
  });
  return control.node;
}

function drawChoices(element, desk) {
  const control = choiceControl(element, desk, `${desk.idPrefix}-${desk.blockId}-${element.action_id}`, () => press(group, element, desk, control.read()));
  const group = h("div", { class: "choices", role: control.isMany ? "group" : "radiogroup", data: marks(element, desk) }, control.node);
  desk.form?.hold(desk.blockId, element, control);
  return group;
}

function drawDate(element, desk) {
  const control = dateControl(element, desk);
  Object.assign(control.node.dataset, marks(element, desk));
  control.node.setAttribute("aria-label", element.placeholder ? plainText(element.placeholder) : say("choose"));
  desk.form?.hold(desk.blockId, element, control);
  control.node.addEventListener("change", () => press(control.node, element, desk, control.read()));
  return control.node;
}

// A native list: it speaks to screen readers and opens full-screen on a phone.
export function selectControl(element, desk, name) {
  const kept = desk.form?.kept(desk.blockId, element);
  const isUsers = element.type === "users_select";
  const initial = isUsers ? (kept ? kept.selected_user : element.initial_user) : (kept ? kept.selected_option : element.initial_option)?.value;
  const offered = [];
  const drawOption = (option) => {
    offered.push(option);
    const detail = option.description ? ` — ${plainText(option.description)}` : "";
    return h("option", { value: String(offered.length - 1), selected: initial !== undefined && initial === option.value, data: { value: option.value } }, plainText(option.text) + detail);
  };
  const groups = (element.option_groups || []).map((group) => h("optgroup", { label: plainText(group.label) }, group.options.map(drawOption)));
  const options = (isUsers ? userOptions(desk.people) : element.options || []).map(drawOption);
  const placeholder = h("option", { value: "" }, element.placeholder ? plainText(element.placeholder) : say("choose"));
  const select = h("select", { name }, placeholder, groups, options);
  const read = () => {
    const option = select.value === "" ? null : offered[Number(select.value)];
    return isUsers ? { selected_user: option?.value ?? null } : { selected_option: option };
  };
  return { node: h("span", { class: "select-box" }, select, icon("down")), select, focus: select, read, isEmpty: () => select.value === "" };
}

function userOptions(people) {
  const users = [...people.users.values()].filter((user) => !user.is_bot && !user.deleted);
  return users.map((user) => ({ value: user.id, text: { type: "plain_text", text: nameOf(user), emoji: false } }));
}

// Checkboxes, radio buttons and multi-selects; the chosen options come in their own order.
export function choiceControl(element, desk, name, changed = () => {}) {
  const isMany = element.type !== "radio_buttons";
  const isUsers = element.type === "multi_users_select";
  const options = isUsers ? userOptions(desk.people) : element.options || (element.option_groups || []).flatMap((group) => group.options);
  const chosen = new Set(initialChoices(element, desk.form?.kept(desk.blockId, element)));
  const boxes = options.map((option) => {
    const box = h("input", { type: isMany ? "checkbox" : "radio", name, checked: chosen.has(option.value), data: { value: option.value }, on: { change: changed } });
    const detail = option.description && h("span", { class: "choice-detail" }, textObject(option.description, desk.people));
    const row = h("label", { class: "choice" }, box, h("span", { class: "choice-text" }, h("span", { class: "prose" }, textObject(option.text, desk.people)), detail));
    return { option, box, row };
  });
  const picked = () => boxes.filter(({ box }) => box.checked).map(({ option }) => option);
  const read = () => {
    if (isUsers) return { selected_users: picked().map((option) => option.value) };
    return isMany ? { selected_options: picked() } : { selected_option: picked()[0] ?? null };
  };
  const isTall = element.type.startsWith("multi_");
  const node = h("div", { class: isTall ? "choice-rows choice-rows-tall" : "choice-rows" }, boxes.map(({ row }) => row));
  return { node, isMany, focus: boxes[0]?.box, read, isEmpty: () => picked().length === 0 };
}

function initialChoices(element, kept) {
  if (element.type === "multi_users_select") return (kept ? kept.selected_users : element.initial_users) || [];
  const many = (kept || {}).selected_options || (kept ? [] : element.initial_options) || [];
  const one = kept ? kept.selected_option : element.initial_option;
  return [...many, ...(one ? [one] : [])].map((option) => option.value);
}

export function dateControl(element, desk) {
  const kept = desk.form?.kept(desk.blockId, element);
  const input = h("input", { class: "field field-date", type: "date", value: kept ? kept.selected_date : element.initial_date });
  return { node: input, focus: input, read: () => ({ selected_date: input.value || null }), isEmpty: () => input.value === "" };
}
