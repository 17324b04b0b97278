// Draws the bar at the top: who is acting and in which language, the colours, the inspector.

import { fill, h, hasChanged, icon } from "./dom.js";
import { closeMenu, openPopover } from "./menu.js";
import { avatar, nameOf, roleName, roleOf, ROLES } from "./people.js";
import { currentLanguage, say, toLanguage } from "./words.js";

const LANGUAGES = [["ja", "日本語"], ["en", "English"]];

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("mimawari.theme", theme);
  } catch {
    // The choice then lasts as long as the page.
  }
}

// `calls` are {openSidebar, actAs, setLocale, setChannelLocale, toggleInspector, redraw}.
export function drawTopbar(root, model, calls) {
  const { state, inspectorOpen } = model;
  const { me } = state;
  if (!hasChanged(root, currentLanguage(), isDark(), inspectorOpen, model.channelLocale, me, state.users)) return;
  const held = root.contains(document.activeElement) ? document.activeElement.id : "";
  const menu = h("button", { class: "icon-button topbar-menu", id: "open-menu", type: "button", "aria-label": say("menu"), on: { click: calls.openSidebar } }, icon("menu"));
  const acting = h(
    "button",
    { class: "acting", id: "act-as", type: "button", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": say("actAsNow", { name: nameOf(me), role: roleName(me) }), on: { click: () => openActAs(acting, model, calls) } },
    h("span", { class: "acting-label" }, say("actAs")), avatar(me, "small"), h("span", { class: "acting-name" }, nameOf(me)), h("span", { class: "acting-role" }, roleName(me)), icon("down"),
  );
  const flip = () => {
    toggleTheme();
    calls.redraw();
  };
  const theme = h("button", { class: "icon-button", id: "theme", type: "button", "aria-label": say(isDark() ? "light" : "dark"), title: say(isDark() ? "light" : "dark"), on: { click: flip } }, icon(isDark() ? "sun" : "moon"));
  const inspector = h("button", { class: "icon-button", id: "open-inspector", type: "button", "aria-label": say("inspector"), title: say("inspector"), "aria-pressed": String(inspectorOpen), on: { click: calls.toggleInspector } }, icon("traffic"));
  fill(root, menu, h("div", { class: "brand" }, h("span", { class: "avatar avatar-small avatar-bot", "aria-hidden": "true" }), h("span", { class: "brand-name" }, "mimawari"), h("span", { class: "brand-note" }, say("local"))), acting, h("div", { class: "topbar-tools" }, inspector, theme));
  if (held) document.getElementById(held)?.focus();
}

function openActAs(anchor, { state, channelLocale }, calls) {
  const { me } = state;
  const people = state.users.filter((user) => !user.is_bot && !user.deleted);
  const stops = [];
  const stop = (props, choose, ...children) => {
    const pick = () => {
      closeMenu(true);
      choose();
    };
    const button = h("button", { ...props, type: "button", role: "menuitemradio", tabindex: "-1", on: { click: pick } }, children);
    stops.push(button);
    return button;
  };
  const groups = ROLES.map((role) => [role, people.filter((user) => roleOf(user) === role)]).filter(([, users]) => users.length);
  const drawUser = (user) => stop({ class: "menu-item person", "aria-checked": String(user.id === me.id), data: { userId: user.id } }, () => calls.actAs(user.id), avatar(user, "small"), h("span", { class: "person-name" }, nameOf(user)), h("small", {}, user.title || user.real_name), user.id === me.id && icon("check"));
  const drawSwitch = (label, current, choose, name) => h("div", { class: "switch", role: "group", "aria-label": label }, h("span", { class: "switch-label" }, label), h("span", { class: "switch-options" }, LANGUAGES.map(([code, said]) => stop({ class: "switch-option", lang: code, "aria-checked": String(code === current), data: { [name]: code } }, () => choose(code), said))));
  const box = h(
    "div",
    { class: "menu menu-acting", role: "menu", "aria-label": say("actAs") },
    h("p", { class: "menu-note" }, say("actAsHelp")),
    groups.map(([role, users]) => h("div", { role: "group", "aria-label": say(`role_${role}`) }, h("div", { class: "menu-title", "aria-hidden": "true" }, say(`role_${role}`)), users.map(drawUser))),
    h("hr"),
    drawSwitch(say("language", { name: nameOf(me) }), toLanguage(me.locale), calls.setLocale, "locale"),
    drawSwitch(say("cardLanguage"), channelLocale, calls.setChannelLocale, "channelLocale"),
  );
  openPopover(anchor, box, stops);
}
