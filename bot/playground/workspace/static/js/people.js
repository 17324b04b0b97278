// Finds users, channels and groups by id, and says who plays which part.

import { h } from "./dom.js";
import { say } from "./words.js";

const ROLE_OF_GROUP = { "cs-agents": "agent", "cs-leads": "approver", engineers: "engineer", accounting: "accountant" };
export const ROLES = ["agent", "approver", "engineer", "accountant", "outsider", "guest"];

export function peopleOf(state) {
  return {
    me: state.me.id,
    version: [state.me.id, ...state.users.map(nameOf), ...state.usergroups.map((group) => group.handle)].join(),
    users: new Map(state.users.map((user) => [user.id, user])),
    channels: new Map(state.channels.map((channel) => [channel.id, channel])),
    usergroups: new Map(state.usergroups.map((group) => [group.id, group])),
  };
}

export function roleOf(user) {
  if (user.is_restricted) return "guest";
  return user.groups.map((handle) => ROLE_OF_GROUP[handle]).find(Boolean) || "outsider";
}

export function roleName(user) {
  return say(`role_${roleOf(user)}`);
}

// As Slack shows people: by their display name, which is what the page API calls `name`.
export function nameOf(user) {
  return user.name || user.real_name;
}

function initial(name) {
  const letter = [...String(name || "?").trim()][0] || "?";
  return letter.toLocaleUpperCase();
}

function isLight(hex) {
  const [red, green, blue] = [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return red * 0.299 + green * 0.587 + blue * 0.114 > 150;
}

export function avatar(user, size = "medium") {
  const box = h("span", { class: `avatar avatar-${size}`, "aria-hidden": "true" });
  if (user?.is_bot) {
    box.classList.add("avatar-bot");
    return box;
  }
  const color = String(user?.color || "").replace("#", "");
  if (/^[0-9a-f]{6}$/i.test(color)) {
    box.style.setProperty("--avatar", `#${color}`);
    if (isLight(color)) box.classList.add("avatar-light");
  }
  box.append(initial(user && nameOf(user)));
  return box;
}
